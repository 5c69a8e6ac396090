// The names that apps import: which of them both have, and which only one of them.

import { fileURLToPath } from 'node:url'

import * as livestore from '@livestore/livestore'
import * as react from '@livestore/react'
import type { ImportDeclaration } from 'typescript/unstable/ast'
import { API, type Checker, type Symbol, SymbolFlags } from 'typescript/unstable/sync'
import { expect, onTestFinished, test } from 'vitest'

import { side } from '#side'
import { different } from './different.js'
import { added, leftOut, typesLeftOut } from './differences.js'

const modules: Record<string, object> = {
  '@livestore/livestore': livestore,
  '@livestore/react': react,
  'State.SQLite': livestore.State.SQLite,
  'EventSequenceNumber.Client': livestore.EventSequenceNumber.Client,
}

/** What both have. */
const shared: Record<string, ReadonlyArray<string>> = {
  '@livestore/livestore': [
    'EventSequenceNumber',
    'Events',
    'Schema',
    'SessionIdSymbol',
    'State',
    'Store',
    'StoreInternalsSymbol',
    'StoreRegistry',
    'clientOnly',
    'computed',
    'createStore',
    'createStorePromise',
    'deepEqual',
    'defineEvent',
    'defineMaterializer',
    'deprecated',
    'isLiveQueryDef',
    'isLiveQueryInstance',
    'isLiveStoreSchema',
    'isQueryable',
    'liveStoreVersion',
    'makeSchema',
    'materializers',
    'nanoid',
    'prepareBindValues',
    'queryDb',
    'signal',
    'sql',
    'storeOptions',
    'synced',
  ],
  '@livestore/react': [
    'LiveList',
    'StoreRegistry',
    'StoreRegistryContext',
    'StoreRegistryProvider',
    'storeOptions',
    'useClientDocument',
    'useQuery',
    'useQueryRef',
    'useStore',
    'useStoreRegistry',
    'useSyncStatus',
    'withReactApi',
  ],
  'State.SQLite': [
    'ClientDocumentTableDefSymbol',
    'blob',
    'boolean',
    'clientDocument',
    'column',
    'datetime',
    'defineEvent',
    'defineMaterializer',
    'integer',
    'isColumnDefinition',
    'json',
    'makeState',
    'materializers',
    'real',
    'table',
    'tableIsClientDocumentTable',
    'text',
    'withAutoIncrement',
    'withColumnType',
    'withDefault',
    'withPrimaryKey',
    'withUnique',
  ],
  'EventSequenceNumber.Client': [
    'ROOT',
    'compare',
    'fromGlobal',
    'fromString',
    'isEqual',
    'isGreaterThan',
    'isGreaterThanOrEqual',
    'max',
    'toString',
  ],
}

for (const [module, names] of Object.entries(shared)) {
  test(`${module} exports what both have`, () => {
    expect(Object.keys(modules[module]!)).toEqual(expect.arrayContaining([...names]))
  })
}

/** What a side has besides what both have. */
const more = () =>
  Object.fromEntries(
    Object.entries(modules).map(([module, exported]) => [
      module,
      Object.keys(exported)
        .filter((name) => !shared[module]!.includes(name))
        .sort(),
    ]),
  )

different('exports-left-out', {
  livestore: () => {
    const names = Object.entries(leftOut).map(([module, reasons]) => [module, Object.keys(reasons).sort()])
    expect(more()).toEqual(Object.fromEntries(names))
  },
  ours: () => {
    for (const [module, reasons] of Object.entries(leftOut)) {
      for (const name of Object.keys(reasons)) expect(Object.keys(modules[module]!)).not.toContain(name)
    }
  },
})

different('exports-added', {
  livestore: () => {
    for (const [module, names] of Object.entries(added)) {
      for (const name of names) expect(Object.keys(modules[module]!)).not.toContain(name)
    }
  },
  ours: () => {
    expect(more()).toEqual(added)
  },
})

/** A module, or a namespace in it, as the types of a side say it. */
interface Exporter {
  readonly checker: Checker
  readonly symbol: Symbol
}

const exportsOf = ({ checker, symbol }: Exporter): Array<[string, Symbol]> =>
  checker
    .getExportsOfModule(symbol)
    .map((one) => [one.name, one.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one])

const NAMESPACE = SymbolFlags.ValueModule | SymbolFlags.NamespaceModule

/** The types that are missing; of a namespace that is missing, its own name alone. */
const missingTypes = (theirs: Exporter, ours: Exporter, prefix = ''): string[] => {
  const found = new Map(exportsOf(ours))
  return exportsOf(theirs).flatMap(([name, symbol]) => {
    const mine = found.get(name)
    const lacks = (kind: SymbolFlags) => (symbol.flags & kind) !== 0 && ((mine?.flags ?? 0) & kind) === 0
    if (lacks(SymbolFlags.Type) || lacks(NAMESPACE)) return [`${prefix}${name}`]
    // What is in `Schema` is Effect's.
    if (mine === undefined || name === 'Schema' || (symbol.flags & NAMESPACE) === 0) return []
    return missingTypes({ ...theirs, symbol }, { ...ours, symbol: mine }, `${prefix}${name}.`)
  })
}

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

// Where LiveStore is installed.
test.runIf(side === 'livestore')('each type that LiveStore exports is exported, or has a reason not to be', () => {
  const compiler = new API()
  onTestFinished(() => compiler.close())
  /** What this file imports, with the types of a side. */
  const imported = (config: string, module: string): Exporter => {
    const project = compiler.updateSnapshot({ openProjects: [path(config)] }).getProject(path(config))!
    const { statements } = project.program.getSourceFile(fileURLToPath(import.meta.url))!
    const specifiers = statements.map((one) => (one as Partial<ImportDeclaration>).moduleSpecifier)
    const found = specifiers.find((one) => one?.getText() === `'${module}'`)!
    return { checker: project.checker, symbol: project.checker.getSymbolAtLocation(found)! }
  }
  const missing = ['@livestore/livestore', '@livestore/react'].flatMap((module) =>
    missingTypes(imported('./tsconfig.livestore.json', module), imported('./tsconfig.json', module)),
  )
  // Values, which may be types as well, have a list of their own.
  const values = Object.entries(leftOut).flatMap(([module, reasons]) =>
    Object.keys(reasons).map((name) => (module.startsWith('@') ? name : `${module}.${name}`)),
  )
  const inSQLite = 'State.SQLite.'
  const isAgain = (name: string) => name.startsWith(inSQLite) && missing.includes(name.slice(inSQLite.length))
  expect(missing.filter((name) => !values.includes(name) && !isAgain(name)).sort()).toEqual(
    Object.values(typesLeftOut).flat().sort(),
  )
})
