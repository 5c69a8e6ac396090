// The to-do list of `examples/todos-react` in Chromium, with a real server.

import { fileURLToPath } from 'node:url'

import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'

import { newFolder, serve, start } from '../../packages/tests/processes.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

let browser: Browser
let app: { url: string; stop: () => Promise<void> }
beforeAll(async () => {
  const preview = start(process.execPath, [`${root}examples/todos-react/preview.mjs`])
  app = { url: (await preview.answer()).url, stop: preview.stop }
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync'],
  })
}, 120_000)
afterAll(async () => {
  await browser?.close()
  await app?.stop()
})

let data: ReturnType<typeof newFolder>
let server: Awaited<ReturnType<typeof serve>>
let complaints: string[]
beforeEach(async () => {
  data = newFolder()
  server = await serve(data.path)
  complaints = []
})
afterEach(async () => {
  for (const context of browser.contexts()) await context.close()
  await server.stop()
  data.remove()
})

const open = async (query = ''): Promise<Page> => {
  const page = await browser.newPage()
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.goto(`${app.url}?sync=${encodeURIComponent(server.url)}${query}`)
  return page
}
const client = (page: Page, name: string) => page.getByRole('region', { name })
const add = async (page: Page, name: string, text: string) => {
  const input = client(page, name).getByRole('textbox')
  await input.fill(text)
  await input.press('Enter')
}
const todos = (page: Page, name: string) => client(page, name).getByRole('listitem').allInnerTexts()
const shows = (page: Page, name: string, expected: string[]) =>
  vi.waitFor(async () => expect((await todos(page, name)).map((text) => text.replace(/\s*×$/, ''))).toEqual(expected), {
    timeout: 10_000,
    interval: 50,
  })

test('what one client of a page does, the other shows', async () => {
  const page = await open()
  await add(page, 'ann', 'milk')
  await add(page, 'bob', 'bread')
  for (const name of ['ann', 'bob']) await shows(page, name, ['bread', 'milk'])
  await client(page, 'bob').getByRole('checkbox', { name: 'milk' }).check()
  await vi.waitFor(async () => expect(await client(page, 'ann').getByText('1 left').count()).toBe(1))
  await client(page, 'ann').getByRole('button', { name: 'done' }).click()
  await shows(page, 'ann', ['milk'])
  await shows(page, 'bob', ['bread', 'milk'])
  await client(page, 'ann').getByRole('button', { name: 'Delete milk' }).click()
  await shows(page, 'bob', ['bread'])
  await vi.waitFor(async () => expect(await page.getByText('in step').count()).toBe(2))
  if (process.env['SCREENSHOT'] !== undefined) await page.screenshot({ path: process.env['SCREENSHOT'] })
  expect(complaints).toEqual([])
})

test('two pages converge, also after a time without the server', async () => {
  const [one, two] = [await open(), await open()]
  await add(one, 'ann', 'first')
  await shows(two, 'bob', ['first'])
  await server.stop()
  await add(one, 'ann', 'of one')
  await add(two, 'bob', 'of two')
  await shows(one, 'ann', ['of one', 'first'])
  server = await serve(data.path, new URL(server.url).host)
  for (const page of [one, two]) for (const name of ['ann', 'bob']) await shows(page, name, ['of two', 'of one', 'first'])
  expect(complaints.filter((text) => !/WebSocket|ERR_CONNECTION_REFUSED/.test(text))).toEqual([])
})

test('what goes wrong is told in the console with the event, the reason and where to read on', async () => {
  const page = await open()
  await add(page, 'ann', 'milk')
  await shows(page, 'ann', ['milk'])
  const told = await page.evaluate(() => {
    const store = (globalThis as any).__debugLiveStore.todos
    try {
      store.commit({ name: 'v1.TodoCreated', args: { id: store.query({ query: 'SELECT id FROM todos' })[0].id, text: 'x', createdAt: new Date() } })
    } catch (error) {
      return { text: String(error), tag: (error as any)._tag, event: (error as any).event, stack: (error as Error).stack }
    }
  })
  expect(told).toMatchObject({ tag: 'MaterializeError', event: 'v1.TodoCreated' })
  expect(told?.text).toMatch(/v1\.TodoCreated.*UNIQUE constraint failed: todos\.id/)
  expect(told?.text).toMatch(/docs\/guide\/typescript\.md#errors/)
})
