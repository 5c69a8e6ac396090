export const DeprecatedId = Symbol.for('livestore/schema/annotations/deprecated')

/** Marks a field of an event as one that is not to be used any more: `Schema.String.pipe(deprecated('use name'))`. */
export const deprecated =
  (reason: string) =>
  <T extends { annotations(annotations: Record<symbol, unknown>): any }>(schema: T): T =>
    schema.annotations({ [DeprecatedId]: reason }) as T
