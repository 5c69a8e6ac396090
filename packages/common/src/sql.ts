import { LiveStoreError } from './errors.js'
import { SessionIdSymbol } from './session-id.js'

/** A value of SQLite; texts, numbers, bigints, bytes and null are what they are, true and false are 1 and 0. */
export type SqlValue = string | number | bigint | boolean | Uint8Array | null
export type ParamsObject = Record<string, SqlValue>
export type BindValues = ReadonlyArray<SqlValue | SessionIdSymbol> | Record<string, SqlValue | SessionIdSymbol>
export type Bindable = BindValues

/** Marks a text as SQL, for editors; values become part of the text as they are. */
export const sql = (template: TemplateStringsArray, ...values: unknown[]): string =>
  template.reduce((text, part, at) => text + String(values[at - 1]) + part)

/** A value as the engine takes it in JSON. */
export type JsonValue = string | number | boolean | null | { integer: string } | { real: string } | { blob: string }

const hex = (bytes: Uint8Array): string => {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

/** Puts a value into the form that the engine takes. */
export const toJsonValue = (value: unknown): JsonValue => {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      // SQLite has no NaN, and takes null for it.
      if (Number.isNaN(value)) return null
      if (!Number.isFinite(value)) return { real: value > 0 ? 'inf' : '-inf' }
      // The digits that JSON has of a great number are those of another integer.
      return Number.isInteger(value) && !Number.isSafeInteger(value) ? { real: String(value) } : value
    case 'bigint':
      return { integer: value.toString() }
    case 'undefined':
      return null
    case 'object':
      if (value === null) return null
      if (value instanceof Uint8Array) return { blob: hex(value) }
  }
  throw new LiveStoreError('QueryError', `SQLite has no values of this kind: ${String(value)}`)
}

const PARAMETER = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|[$:@]([A-Za-z_][A-Za-z0-9_]*)/g

/** The names of a statement's parameters, in the order in which SQLite numbers them. */
export const namedParameters = (text: string): string[] => {
  const names = new Set<string>()
  const written = new Set<string>()
  for (const match of text.matchAll(PARAMETER)) {
    if (match[1] === undefined || written.has(match[0])) continue
    written.add(match[0])
    names.add(match[1])
    if (names.size < written.size) {
      throw new LiveStoreError('QueryError', `the parameter ${match[1]} is written in two ways: ${text}`)
    }
  }
  return [...names]
}

/** The values for a statement's parameters, in their order. */
export const positional = (
  text: string,
  values: BindValues | undefined,
  sessionId: string,
): JsonValue[] => {
  const bind = (value: unknown) => toJsonValue(value === SessionIdSymbol ? sessionId : value)
  if (values === undefined) return []
  if (Array.isArray(values)) return values.map(bind)
  const given = values as Record<string, unknown>
  return namedParameters(text).map((name) => {
    const value = Object.hasOwn(given, name) ? given[name] : given[`$${name}`]
    return bind(value)
  })
}

export type PreparedBindValues = BindValues

/** Leaves of named values those that a statement has parameters for, named as parameters are. */
export const prepareBindValues = (values: Bindable, statement: string): PreparedBindValues => {
  if (Array.isArray(values)) return values as PreparedBindValues
  const names = new Set(namedParameters(statement))
  const used = Object.entries(values).filter(([name]) => names.has(name))
  return Object.fromEntries(used.map(([name, value]) => [`$${name}`, value])) as PreparedBindValues
}

/** Half a character, as JSON has it; a backslash before it would be one of the text. */
const HALVES = /(?<!\\)((?:\\\\)*)\\ud[89a-f][\da-f]{2}/g

/** JSON in which half a character, as of a text that was cut there, is �: no text of SQLite or of UTF-8 has halves. */
export const wellFormed = (json: string): string => (json.includes('\\ud') ? json.replace(HALVES, '$1\\ufffd') : json)
