import * as Schema from 'effect/Schema'
import * as AST from 'effect/SchemaAST'

import type { EffectColumn } from './codec.js'
import { AutoIncrement, ColumnType, Default, PrimaryKeyId, Unique } from './column-annotations.js'
import { LiveStoreError } from './errors.js'

/** A column that a field of a schema stands for. */
export interface FieldColumn {
  readonly kind: EffectColumn['kind']
  readonly schema?: Schema.Schema<any, any>
  readonly nullable: boolean
  readonly primaryKey: boolean
  readonly autoIncrement: boolean
  readonly unique: boolean
  readonly default?: unknown
}

const isNull = (ast: AST.AST): boolean => AST.isLiteral(ast) && ast.literal === null
const isAbsent = (ast: AST.AST): boolean => isNull(ast) || AST.isUndefinedKeyword(ast)

/** Whether null or undefined are among the values. */
const mayBeAbsent = (ast: AST.AST): boolean =>
  isAbsent(ast) || (AST.isUnion(ast) && ast.types.some(mayBeAbsent))

/** The type without null and undefined. */
const present = (ast: AST.AST): AST.AST => {
  if (!AST.isUnion(ast)) return ast
  const types = ast.types.filter((type) => !isAbsent(type))
  if (types.length === 0 || types.length === ast.types.length) return ast
  return types.length === 1 ? (types[0] as AST.AST) : AST.Union.make(types, ast.annotations)
}

const identifier = (ast: AST.AST): string => {
  const found = AST.getIdentifierAnnotation(ast)
  return found._tag === 'Some' ? found.value : ''
}

const literals = (ast: AST.AST): AST.LiteralValue[] | undefined => {
  if (AST.isLiteral(ast)) return [ast.literal]
  if (!AST.isUnion(ast) || !ast.types.every(AST.isLiteral)) return undefined
  return ast.types.map((type) => (type as AST.Literal).literal)
}

const schemaId = (ast: AST.AST): unknown => ast.annotations[AST.SchemaIdAnnotationId]

const isDate = (ast: AST.AST): boolean =>
  schemaId(ast) === Schema.DateFromSelfSchemaId || (AST.isRefinement(ast) && isDate(ast.from))

/** Whether numbers are whole ones; annotations take a schema's identifier away, so that it does not tell. */
const isInteger = (ast: AST.AST): boolean => {
  if (AST.isRefinement(ast)) return schemaId(ast) === Schema.IntSchemaId || isInteger(ast.from)
  // Milliseconds.
  return AST.isTransformation(ast) && isDate(ast.to)
}

/** What literals are stored as; nothing, if they are of several types. */
const kindOfLiterals = (values: AST.LiteralValue[], ast: AST.AST): EffectColumn['kind'] | undefined => {
  const types = new Set(values.map((value) => typeof value))
  if (types.size !== 1) return undefined
  switch ([...types][0]) {
    case 'string':
      return 'text'
    case 'number':
      return isInteger(ast) || (values.length > 1 && values.every(Number.isInteger)) ? 'integer' : 'real'
    case 'boolean':
      return 'boolean'
    case 'bigint':
      return 'integer'
    default:
      return undefined
  }
}

const kindOf = (ast: AST.AST): EffectColumn['kind'] => {
  if (AST.isBooleanKeyword(ast)) return 'boolean'
  const stored = AST.encodedAST(ast)
  if (AST.isStringKeyword(stored)) return 'text'
  if (AST.isNumberKeyword(stored)) return isInteger(ast) ? 'integer' : 'real'
  if (identifier(ast).includes('Uint8Array') || identifier(stored).includes('Uint8Array')) return 'blob'
  const values = literals(stored) ?? literals(ast)
  return (values === undefined ? undefined : kindOfLiterals(values, ast)) ?? 'json'
}

/** Looks for an annotation at a field and at its type. */
const annotation = (field: AST.PropertySignature, key: symbol): unknown =>
  (field.annotations as Record<symbol, unknown>)[key] ??
  (field.type.annotations as Record<symbol, unknown>)[key] ??
  (present(field.type).annotations as Record<symbol, unknown>)[key]

const STORED_AS: Record<string, ReadonlyArray<EffectColumn['kind']>> = {
  text: ['text', 'json'],
  integer: ['integer', 'real', 'boolean'],
  real: ['real', 'integer'],
  blob: ['blob'],
}

const columnOf = (field: AST.PropertySignature): FieldColumn => {
  const core = present(field.type)
  const nullable = field.isOptional || mayBeAbsent(field.type)
  const primaryKey = annotation(field, PrimaryKeyId) === true
  if (primaryKey && nullable) {
    throw new LiveStoreError('SchemaError', `${String(field.name)} is the primary key, and has to have a value`)
  }
  const natural = kindOf(core)
  const asked = annotation(field, ColumnType) as string | undefined
  if (asked !== undefined && STORED_AS[asked]?.includes(natural) !== true) {
    throw new LiveStoreError('SchemaError', `${String(field.name)} has values of the kind ${natural}, which no column of ${asked} takes`)
  }
  const kind = asked === undefined || natural === 'json' ? natural : (asked as EffectColumn['kind'])
  const given = annotation(field, Default)
  return {
    kind,
    ...(kind === 'boolean' || kind === 'blob' ? {} : { schema: Schema.make(core) as Schema.Schema<any, any> }),
    nullable,
    primaryKey,
    autoIncrement: annotation(field, AutoIncrement) === true,
    unique: annotation(field, Unique) === true,
    ...(given === undefined ? {} : { default: given }),
  }
}

/** The fields of a struct, or those that all members of a union have. */
const fieldsOf = (ast: AST.AST): ReadonlyArray<AST.PropertySignature> =>
  AST.isTransformation(ast) && !AST.isTypeLiteral(ast.to)
    ? AST.getPropertySignatures(ast.from)
    : AST.getPropertySignatures(ast)

/** The columns of a table whose rows a schema describes. */
export const tableOfSchema = (
  schema: Schema.Schema<any, any>,
): { name: string | undefined; columns: Record<string, FieldColumn> } => {
  const titled = AST.getTitleAnnotation(schema.ast)
  const name = titled._tag === 'Some' ? titled.value : identifier(schema.ast)
  const columns: Record<string, FieldColumn> = {}
  for (const field of fieldsOf(schema.ast)) if (typeof field.name === 'string') columns[field.name] = columnOf(field)
  return { name: name === '' ? undefined : name, columns }
}
