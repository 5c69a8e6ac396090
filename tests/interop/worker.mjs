// LiveStore's own backend: `worker/worker.mjs` in workerd, with its data in a folder. It ends with the standard input.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import workerd from 'workerd'

const { port = 0, folder, token } = JSON.parse(process.argv[2])
const here = import.meta.dirname
const source = join(here, 'worker/worker.mjs')

// The folder of the bundle. It takes a moment to make, so it is kept until what it is made of changes.
const bundle = async () => {
  const hash = createHash('sha256')
  for (const path of [source, import.meta.filename, join(here, 'package-lock.json')]) hash.update(readFileSync(path))
  const made = join(here, 'node_modules/.cache', `worker-${hash.digest('hex').slice(0, 16)}`)
  const file = join(made, 'worker.js')
  if (existsSync(file)) return made
  const { buildSync } = await import('esbuild')
  const { outputFiles } = buildSync({
    entryPoints: [source],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
  })
  mkdirSync(made, { recursive: true })
  // Somebody else may be doing the same.
  writeFileSync(`${file}.${process.pid}`, outputFiles[0].contents)
  renameSync(`${file}.${process.pid}`, file)
  return made
}

// Becomes workerd, and leaves something behind that kills it once our end of its input is closed: it does not
// outlive us, even if we are killed.
const leashed = 'exec 4<&0; (cat <&4; kill -9 $$) >/dev/null 2>&1 3>&- & exec 4<&-; exec "$@" </dev/null'

const imports = await bundle()
const data = join(folder, 'data')
const log = join(folder, 'workerd.log')
mkdirSync(data, { recursive: true })
const output = openSync(log, 'a')
const flags = [`--import-path=${imports}`, `--socket-addr=http=127.0.0.1:${port}`, `--directory-path=data=${data}`]
const args = ['serve', '--control-fd=3', ...flags, join(here, 'worker/worker.capnp')]
const { TOKEN: _, ...env } = process.env
const child = spawn('sh', ['-c', leashed, 'sh', workerd.default, ...args], {
  env: token === undefined ? env : { ...env, TOKEN: token },
  stdio: ['pipe', output, output, 'pipe'],
})

// What it has acknowledged is on the disk, so there is nothing to wait for.
const stop = () => {
  child.removeAllListeners('exit').on('exit', () => process.exit(0)).kill('SIGKILL')
}
child.on('exit', () => {
  console.error(`workerd has ended:\n${readFileSync(log, 'utf8').slice(-2000)}`)
  process.exit(1)
})
process.stdin.resume().on('end', stop)
process.on('SIGTERM', stop).on('SIGINT', stop)

// It says which port it has got.
for await (const line of createInterface({ input: child.stdio[3] })) {
  const { event, port } = JSON.parse(line)
  if (event !== 'listen') continue
  await fetch(`http://127.0.0.1:${port}/`)
  process.stdout.write(`${JSON.stringify({ ready: true, port, pid: child.pid })}\n`)
}
