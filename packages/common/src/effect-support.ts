import * as Schema from 'effect/Schema'
import { getPropertySignatures } from 'effect/SchemaAST'

import { tableOfSchema } from './effect-columns.js'
import { type AnySchema, codecOf, type EffectColumn, type EffectSupport, isEffectSchema } from './codec.js'

type Any = Schema.Schema<any, any>

const codec = (schema: Any) => ({
  check: Schema.validateSync(schema),
  encode: Schema.encodeSync(schema),
  // It takes whatever is stored for nothing.
  decode: schema.ast._tag === 'VoidKeyword' ? () => undefined : Schema.decodeUnknownSync(schema),
})

/** A Standard Schema as one of Effect, which then takes what it stores and makes what it makes. */
const asEffect = (schema: AnySchema): Any => {
  if (isEffectSchema(schema)) return schema
  const standard = codecOf(schema)
  return Schema.transform(Schema.Any, Schema.Any, { decode: standard.decode, encode: standard.encode })
}

const withoutNull = ({ kind, custom }: EffectColumn): Any => {
  switch (kind) {
    case 'boolean':
      return Schema.transform(Schema.Number, Schema.Boolean, {
        decode: (stored) => stored === 1,
        encode: (value) => (value ? 1 : 0),
      })
    case 'json':
      return Schema.parseJson(custom === undefined ? Schema.Any : asEffect(custom))
    case 'datetime':
      return Schema.Date
    case 'datetimeInteger':
      return Schema.DateFromNumber
    default:
      if (custom !== undefined) return asEffect(custom)
      return kind === 'text' ? Schema.String : kind === 'blob' ? Schema.Uint8ArrayFromSelf : Schema.Number
  }
}

const columnSchema = (column: EffectColumn): Any =>
  column.nullable ? Schema.NullOr(withoutNull(column)) : withoutNull(column)

export const effectSupport: EffectSupport = {
  codec,
  table: tableOfSchema,
  partial: (schema) => {
    const { ast } = schema
    // Which of several structs it is, or one that is not known yet, is told by the whole value.
    const isWhole = ast._tag === 'Union' || ast._tag === 'Suspend' || getPropertySignatures(ast).length === 0
    return isWhole ? undefined : codec(Schema.partial(schema as Schema.Schema<object, object>))
  },
  rowSchema: (columns, insert, title) => {
    const fields = Object.entries(columns).map(([name, column]) => {
      const schema = columnSchema(column)
      return [name, insert && column.optional ? Schema.optional(schema) : schema] as const
    })
    return Schema.Struct(Object.fromEntries(fields)).annotations({ title }) as unknown as Any
  },
}
