// What is published: the contents of each package, and an app that installs them under LiveStore's names.

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const NAMES = ['common', 'livestore', 'adapter-web', 'react', 'sync-ws']
const npm = (args: string[], cwd: string) =>
  execFileSync('npm', [...args, '--loglevel=error'], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

let folder: string
const packed = new Map<string, { filename: string; files: string[] }>()
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'livestore-pack-'))
  for (const name of NAMES) {
    const answer: unknown = JSON.parse(npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], `${root}packages/${name}`))
    // A list, or from npm 11.6 on an object by the packages' names.
    const [entry] = Object.values(answer as Record<string, { filename: string; files: Array<{ path: string }> }>)
    packed.set(name, { filename: entry!.filename.replace(/^@/, '').replace('/', '-'), files: entry!.files.map(({ path }) => path) })
  }
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true }))

test.each(NAMES)('%s has what it says it has, and nothing else', (name) => {
  const { files } = packed.get(name)!
  const manifest = JSON.parse(readFileSync(`${root}packages/${name}/package.json`, 'utf8'))
  for (const { types, default: code } of Object.values<{ types: string; default: string }>(manifest.exports)) {
    expect(files).toContain(types.slice(2))
    expect(files).toContain(code.slice(2))
    expect(files).toContain(`${code.slice(2)}.map`)
  }
  expect(files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'package.json']))
  const allowed = /^(dist|src)\/[\w-]+\.(js|d\.ts|tsx?)(\.map)?$|^engine(-fts5)?\/livestore(_bg)?\.(js|d\.ts|wasm|wasm\.d\.ts)$|^engine(-fts5)?\/snippets\/livestore-web-[\da-f]{16}\/src\/(ascii|rows)\.js$|^(README\.md|LICENSE|package\.json)$/
  expect(files.filter((file) => !allowed.test(file))).toEqual([])
})

test('adapter-web is not packed without both engines', () => {
  // Tests build the one without full-text search alone, so that what else is here was left by nobody.
  const run = () => npm(['run', 'prepack'], `${root}packages/adapter-web`)
  if (existsSync(`${root}packages/adapter-web/engine-fts5/livestore_bg.wasm`)) run()
  else expect(run).toThrow()
})

test('the engine tells nothing of the machine that has built it', () => {
  const engine = readFileSync(`${root}packages/adapter-web/engine/livestore_bg.wasm`)
  const cargo = process.env['CARGO_HOME'] ?? join(homedir(), '.cargo')
  for (const path of [cargo, root]) expect(engine.includes(path), path).toBe(false)
})

test.each(NAMES)("%s has source maps that lead to its sources", (name) => {
  const maps = packed.get(name)!.files.filter((file) => file.endsWith('.js.map'))
  for (const file of maps) {
    const map = JSON.parse(readFileSync(`${root}packages/${name}/${file}`, 'utf8'))
    expect(map.sourcesContent?.length, file).toBe(map.sources.length)
    for (const source of map.sources) expect(packed.get(name)!.files).toContain(join('dist', source))
  }
})

test('an app installs them under the names of LiveStore, runs in Node and is built by Vite', { timeout: 240_000 }, async () => {
  const app = join(folder, 'app')
  mkdirSync(app)
  const tarball = (name: string) => `file:../${packed.get(name)!.filename}`
  const { devDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  const others = ['react', '@types/react', '@types/node', 'zod'].map((name) => [name, devDependencies[name]])
  const manifest = {
    name: 'app',
    private: true,
    type: 'module',
    dependencies: Object.fromEntries(
      ['livestore', 'adapter-web', 'react'].map((name) => [`@livestore/${name}`, tarball(name)]).concat(others),
    ),
    overrides: { '@livestore-rs/common': tarball('common') },
  }
  writeFileSync(join(app, 'package.json'), JSON.stringify(manifest))
  npm(['install', '--no-audit', '--no-fund'], app)

  // The listing, but for what is vitest's.
  const listing = readFileSync(`${root}packages/tests/listing.test.ts`, 'utf8')
  const code = listing.slice(0, listing.indexOf("test('the listing runs'")).replace(/^import .* from 'vitest'$/m, '')
  const use = `
import '@livestore/react'
store.commit(events.todoCreated({ id: 'a', text: 'milk' }))
if (store.query(todos$).length !== 1 || typeof store.useQuery !== 'function') throw new Error('it does not work')
console.log('it works')
store.shutdown()
`
  writeFileSync(join(app, 'main.ts'), code + use)
  const node = join(root, 'node_modules/.bin/node')
  expect(execFileSync(node, ['main.ts'], { cwd: app, encoding: 'utf8' })).toBe('it works\n')

  cpSync(`${root}examples/todos-react/tsconfig.json`, join(app, 'tsconfig.json'))
  writeFileSync(join(app, 'tsconfig.json'), readFileSync(join(app, 'tsconfig.json'), 'utf8').replace('"src"', '"main.ts"'))
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['--project', app], { stdio: 'inherit' })

  // Its own declarations name the types of what it exports; what runs in Node needs no types of browsers.
  cpSync(`${root}packages/tests/declarations`, join(app, 'declarations'), { recursive: true })
  const library = { composite: true, noEmit: false, skipLibCheck: false, outDir: '../out', rootDir: '.' }
  writeFileSync(join(app, 'declarations/tsconfig.json'), JSON.stringify({ extends: '../tsconfig.json', compilerOptions: library, include: ['.'] }))
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['--project', join(app, 'declarations')], { stdio: 'inherit' })
  expect(readFileSync(join(app, 'out/schema.d.ts'), 'utf8')).toMatch(/todos: State\.SQLite\.TableDef/)
  const inNode = { noEmit: true, strict: true, module: 'nodenext', target: 'es2023', lib: ['es2023'], skipLibCheck: false }
  writeFileSync(join(app, 'node.json'), JSON.stringify({ compilerOptions: { ...inNode, types: ['node'] }, files: ['declarations/schema.ts'] }))
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['--project', join(app, 'node.json')], { stdio: 'inherit' })

  writeFileSync(join(app, 'index.html'), '<script type="module" src="/main.ts"></script>')
  const output = await build({ root: app, configFile: false, logLevel: 'error', build: { target: 'es2022', write: false, chunkSizeWarningLimit: 10_000 } })
  const names = (output as { output: Array<{ fileName: string }> }).output.map(({ fileName }) => fileName)
  expect(names).toEqual(expect.arrayContaining([expect.stringMatching(/\.wasm$/), expect.stringMatching(/\.js$/)]))
})
