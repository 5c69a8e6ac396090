// Programs that tests start, and end when the test is over.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { vi } from 'vitest'

/** A program that answers with lines of JSON; its other lines are its log. */
export const start = (program: string, args: string[]) => {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers: any[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{')) answers.push(JSON.parse(line))
  })
  const answer = (): Promise<any> =>
    vi.waitFor(
      () => {
        if (answers.length === 0) throw new Error(`${program} does not answer`)
        return answers.shift()
      },
      { timeout: 60_000, interval: 10 },
    )
  const ask = (request: object) => {
    child.stdin.write(`${JSON.stringify(request)}\n`)
    return answer()
  }
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  return { answer, ask, stop }
}

/** A new folder, and what removes it. */
export const newFolder = () => {
  const path = mkdtempSync(join(tmpdir(), 'livestore-test-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Starts `livestore serve`. */
export const serve = async (data: string, listen = '127.0.0.1:0') => {
  const program = process.env['LIVESTORE_CLI']
  if (program === undefined) throw new Error('LIVESTORE_CLI names the program `livestore`')
  const server = start(program, ['serve', '--json', '--listen', listen, '--data', data])
  const { url } = await server.answer()
  return { url: url as string, stop: server.stop }
}
