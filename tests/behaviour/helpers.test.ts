import { deepEqual, EventSequenceNumber, liveStoreVersion, nanoid, prepareBindValues, SessionIdSymbol, sql } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { thrown } from './support.js'

test('sql puts a text together', () => {
  expect(sql`SELECT ${1}, ${'a'} FROM ${'todos'}`).toBe('SELECT 1, a FROM todos')
  expect(sql`SELECT 1`).toBe('SELECT 1')
})

test('nanoid makes ids of a length', () => {
  expect([nanoid().length, nanoid(5).length]).toEqual([21, 5])
  expect(nanoid()).not.toBe(nanoid())
})

test('deepEqual compares what values hold', () => {
  const equal: Array<[unknown, unknown]> = [
    [1, 1],
    [Number.NaN, Number.NaN],
    [0, -0],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
    [new Date(1), new Date(1)],
    [new Map([[1, { a: 1 }]]), new Map([[1, { a: 1 }]])],
    [new Set([1]), new Set([1])],
    [new Uint8Array([1]), new Uint8Array([1])],
    [/a/i, /a/i],
    [null, null],
  ]
  for (const [left, right] of equal) expect([left, right, deepEqual(left, right)]).toEqual([left, right, true])
  const different: Array<[unknown, unknown]> = [
    [1, '1'],
    [null, undefined],
    [{ a: undefined }, {}],
    [[1], { 0: 1 }],
    [[1], [1, 2]],
    [new Date(1), new Date(2)],
    [new Map([[1, 2]]), new Map([[1, 3]])],
    [new Set([1]), new Set([2])],
    [new Uint8Array([1]), new Uint8Array([2])],
    [/a/, /a/i],
  ]
  for (const [left, right] of different) expect([left, right, deepEqual(left, right)]).toEqual([left, right, false])
})

test('prepareBindValues leaves the values that a statement uses', () => {
  expect(prepareBindValues({ a: 1, b: 2, c: 'x' } as any, 'SELECT $a, $c')).toEqual({ $a: 1, $c: 'x' })
  expect(prepareBindValues([1, 'x'] as any, 'SELECT ?, ?')).toEqual([1, 'x'])
})

test('SessionIdSymbol is a symbol with a name', () => {
  expect(SessionIdSymbol).toBe(Symbol.for('@livestore/session-id'))
})

test('a position of an event has a text', () => {
  const { Client } = EventSequenceNumber
  const position = { global: 1, client: 2, rebaseGeneration: 3 } as any
  expect(Client.toString(position)).toBe('e1.2r3')
  expect(Client.toString(Client.ROOT)).toBe('e0')
  expect(Client.fromString('e1.2r3')).toEqual(position)
  expect(Client.fromString('e5')).toEqual({ global: 5, client: 0, rebaseGeneration: 0 })
  for (const text of ['5', 'e', 'e1+2', 'e1.2x', '']) expect(thrown(() => Client.fromString(text))).not.toBe('')
})

test('positions are ordered', () => {
  const { Client } = EventSequenceNumber
  const at = (text: string) => Client.fromString(text)
  expect(Client.isGreaterThan(at('e2'), at('e1.5'))).toBe(true)
  expect(Client.isGreaterThan(at('e1.1'), at('e1'))).toBe(true)
  expect(Client.isGreaterThan(at('e1'), at('e1'))).toBe(false)
  expect(Client.isGreaterThanOrEqual(at('e1'), at('e1'))).toBe(true)
  expect(Client.isEqual(at('e1r1'), at('e1r1'))).toBe(true)
  expect(Client.isEqual(at('e1r1'), at('e1'))).toBe(false)
  expect(Client.max(at('e1'), at('e2'))).toEqual(at('e2'))
  expect(Client.compare(at('e1'), at('e2'))).toBeLessThan(0)
  expect(Client.compare(at('e1r1'), at('e1'))).toBeGreaterThan(0)
  expect(Client.fromGlobal(3 as any)).toEqual(at('e3'))
})

test('the version is a text', () => {
  expect(liveStoreVersion).toMatch(/^\d+\.\d+\.\d+/)
})
