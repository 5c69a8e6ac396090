import { LiveStoreError } from './errors.js'
import type { SessionIdSymbol } from './session-id.js'
import type { TableDefBase } from './table-types.js'

/** What a client document's table knows of its values. */
export interface DocumentInternals {
  /** The value of a document that was set. */
  readonly decode: (stored: string, explicitDefault: unknown) => unknown
  /** The value of one that was not. */
  readonly initial: (explicitDefault: unknown) => unknown
  /** What tells one default of a reader from another. */
  readonly keyOf: (explicitDefault: unknown) => string
  /** As the engine has it: the default as JSON, and whether each session has its own. */
  readonly encodedDefault: () => unknown
  readonly defaultId: string | SessionIdSymbol | undefined
}

const documents = new WeakMap<object, DocumentInternals>()

export const enterDocument = (table: object, document: DocumentInternals): void => {
  documents.set(table, document)
}

export const findDocument = (table: object): DocumentInternals | undefined => documents.get(table)

export const documentOf = (table: TableDefBase): DocumentInternals => {
  const document = documents.get(table)
  if (document !== undefined) return document
  throw new LiveStoreError('QueryError', `the table ${table.sqliteDef.name} is no client document`)
}
