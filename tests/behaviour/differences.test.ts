import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { added, AREAS, type Difference, differences, leftOut, typesLeftOut } from './differences.js'

const here = new URL('.', import.meta.url)
const DOCUMENT = new URL('../../docs/livestore-differences-typescript.md', here)

const used = new Set(
  readdirSync(here)
    .filter((name) => name.endsWith('.test.ts'))
    .flatMap((name) => [...readFileSync(new URL(name, here), 'utf8').matchAll(/^different\('([^']+)'/gm)])
    .map(([, id]) => id),
)

test('each difference has a test, and each has an id of its own', () => {
  const ids = differences.map(({ id }) => id)
  expect(ids.filter((id) => !used.has(id))).toEqual([])
  expect(new Set(ids).size).toBe(ids.length)
})

const KINDS = { bug: 'a mistake of LiveStore', choice: 'a decision', 'left out': 'left out here' }

const entry = ({ id, kind, livestore, ours, why }: Difference): string =>
  [`### ${id}`, '', `- **LiveStore:** ${livestore}.`, `- **Here:** ${ours}.`, `- **Why** (${KINDS[kind]}): ${why}`, ''].join('\n')

const names = (): string => {
  const byReason = (reasons: Readonly<Record<string, string>>) => {
    const groups = Map.groupBy(Object.entries(reasons), ([, reason]) => reason)
    return [...groups].map(([reason, entries]) => `- ${entries.map(([name]) => `\`${name}\``).join(', ')}: ${reason}.`)
  }
  const sections = Object.entries(leftOut).map(([module, reasons]) => [`### Left out of \`${module}\``, '', ...byReason(reasons), ''].join('\n'))
  const types = Object.entries(typesLeftOut).map(
    ([reason, all]) => `- ${all.map((name) => `\`${name}\``).join(', ')}: ${reason}.`,
  )
  const more = Object.entries(added).flatMap(([module, all]) => all.map((name) => `\`${name}\` (\`${module}\`)`))
  return [...sections, '### Types left out', '', ...types, '', '### Added', '', `${more.join(', ')}.`, ''].join('\n')
}

const document = (): string => {
  const parts = AREAS.map((area) => {
    const all = differences.filter((one) => one.area === area)
    return [`## ${area}`, '', ...all.map(entry)].join('\n')
  })
  return `# What differs from LiveStore in TypeScript

The packages under \`packages/\` offer the TypeScript API of LiveStore 0.4.0. One suite, \`tests/behaviour\`, runs on
both; this is what differs. What each side does is a test on that side, so that the list says what is the case.

\`\`\`sh
(cd tests/interop && npm ci)                         # LiveStore 0.4.0
npx tsc --build packages
npx vitest run --project 'behaviour: LiveStore 0.4.0'
npx vitest run --project 'behaviour: ours'
npx tsc -p tests/behaviour                           # the suite with our types
npx tsc -p tests/behaviour/tsconfig.livestore.json   # and with LiveStore's
\`\`\`

This page is made of \`tests/behaviour/differences.ts\`; \`LIVESTORE_REGENERATE=1\` writes it anew.

${parts.join('\n')}
${names()}`.replace(/\n+$/, '\n')
}

test('the page of differences is made of the list', () => {
  if (process.env['LIVESTORE_REGENERATE'] === '1') writeFileSync(DOCUMENT, document())
  expect(readFileSync(DOCUMENT, 'utf8')).toBe(document())
})
