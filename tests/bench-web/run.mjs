// Builds the page, opens it in Chromium and measures: node run.mjs [--quick] [case …]
// Progress goes to stderr, the figures as JSON to stdout.
//
// With --profile DIR it writes CPU profiles of our side instead, for Chromium's developer tools.

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { chromium } from 'playwright-core'
import { build, preview } from 'vite'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, profile: { type: 'string' } },
})

const BROWSER = process.env.CHROMIUM ?? '/usr/bin/chromium'
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync', '--js-flags=--expose-gc'],
]

// Both libraries leave out what is for developers.
process.env.NODE_ENV = 'production'
const configFile = fileURLToPath(new URL('vite.config.ts', import.meta.url))
await build({ configFile, mode: 'production', logLevel: 'warn', ...(values.profile ? { build: { minify: false } } : {}) })
const server = await preview({ configFile, logLevel: 'warn', preview: { port: 0 } })
const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS })
try {
  const page = await browser.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(error))
  page.on('console', (message) => {
    if (message.type() === 'error') console.error(message.text())
  })
  await page.goto(`http://127.0.0.1:${server.httpServer.address().port}/`)
  await page.waitForFunction(() => 'bench' in globalThis, undefined, { timeout: 30_000 })
  const known = await page.evaluate(() => bench.names)
  const unknown = positionals.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`there is no case ${unknown}; there are ${known.join(', ')}`)
  await page.evaluate(() => bench.warmUp())
  const names = positionals.length > 0 ? positionals : known
  if (values.profile !== undefined) await profile(page, names, values.profile)
  else console.log(JSON.stringify(await measure(page, names), undefined, 2))
  if (errors.length > 0) throw errors[0]
} finally {
  await browser.close()
  await new Promise((done) => server.httpServer.close(done))
}

async function measure(page, names) {
  const cases = []
  for (const name of names) {
    const start = performance.now()
    const figures = await page.evaluate(([name, quick]) => bench.runCase(name, quick), [name, values.quick])
    cases.push({ name, ...figures })
    const { value, livestore } = figures
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    console.error(`${name}: ${value.toFixed(1)} µs, LiveStore ${livestore.toFixed(1)} µs (${seconds} s)`)
  }
  const machine = { browser: browser.version(), cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] }
  return { machine, cases }
}

async function profile(page, names, folder) {
  const session = await page.context().newCDPSession(page)
  await session.send('Profiler.enable')
  await session.send('Profiler.setSamplingInterval', { interval: 200 })
  mkdirSync(folder, { recursive: true })
  for (const name of names) {
    await session.send('Profiler.start')
    const us = await page.evaluate(([name, rounds]) => bench.runOurs(name, rounds), [name, 5])
    const { profile } = await session.send('Profiler.stop')
    writeFileSync(`${folder}/${name}.cpuprofile`, JSON.stringify(profile))
    console.error(`${name}: ${us.toFixed(1)} µs while it was profiled`)
  }
}
