// The names that apps import: which of them both have, and which only one of them.

import * as livestore from '@livestore/livestore'
import * as react from '@livestore/react'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { added, leftOut } from './differences.js'

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
