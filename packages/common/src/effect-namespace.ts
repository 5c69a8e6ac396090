import * as ParseResult from 'effect/ParseResult'
import * as Schema from 'effect/Schema'

export * from 'effect/Schema'

/** Whatever JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonObject | JsonArray
export interface JsonArray extends ReadonlyArray<JsonValue> {}
export interface JsonObject {
  readonly [key: string]: JsonValue
}

export const JsonValue: Schema.Schema<JsonValue> = Schema.suspend(() => anyJson).annotations({ identifier: 'JsonValue' })

const anyJson: Schema.Schema<JsonValue> = Schema.Union(
  Schema.String,
  Schema.JsonNumber,
  Schema.Boolean,
  Schema.Null,
  Schema.Array(JsonValue),
  Schema.Record({ key: Schema.String, value: JsonValue }),
)

/** Takes what a schema makes, and makes what it takes. */
export const swap = <A, I, R>(schema: Schema.Schema<A, I, R>): Schema.Schema<I, A, R> =>
  Schema.transformOrFail(Schema.typeSchema(schema), Schema.encodedSchema(schema), {
    decode: (value, options) => ParseResult.encode(schema, options)(value),
    encode: (value, options) => ParseResult.decode(schema, options)(value),
  })

/** Bytes, stored as a text of base64. */
export const Base64FromUint8Array: Schema.Schema<string, Uint8Array> = swap(Schema.Uint8ArrayFromBase64)
