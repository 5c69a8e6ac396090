// Makes tests of the TypeScript in documents: all blocks of one document are one module, which has to compile and run.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const out = `${root}packages/tests/generated`

const packages = readdirSync(`${root}packages`, { withFileTypes: true }).filter((entry) => entry.isDirectory())
// What packages have in common is no package for apps.
const readmes = packages.filter(({ name }) => name !== 'common').map(({ name }) => [`readme-${name}`, `packages/${name}/README.md`])
const documents = [['typescript', 'docs/guide/typescript.md'], ...readmes]

rmSync(out, { recursive: true, force: true })
mkdirSync(out)
for (const [name, path] of documents) {
  let text
  try {
    text = readFileSync(root + path, 'utf8')
  } catch {
    // Tests have no README.
    continue
  }
  const blocks = [...text.matchAll(/^```tsx?\n([\s\S]*?)^```$/gm)].map(([, code]) => code)
  if (blocks.length === 0) throw new Error(`${path} has no TypeScript`)
  const test = `import { test as documentRuns } from 'vitest'\ndocumentRuns('${path} compiles and runs', () => {})\n`
  const head = `// @vitest-environment jsdom
console.assert = (holds?: boolean, ...why: unknown[]) => {
  if (holds !== true) throw new Error(['an assertion does not hold', ...why].join(' '))
}
`
  writeFileSync(`${out}/${name}.test.tsx`, `${head}${blocks.join('\n')}\n${test}`)
}
