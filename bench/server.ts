import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../dist/server.js', import.meta.url))

/** The servers that run. Ctrl-C does not reach them, because they are in other sessions. */
const running = new Set<ChildProcess>()
process.once('exit', () => { for (const server of running) server.kill('SIGTERM') })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/**
 * Starts the built server in its own process, without rate limits, on an embedded database. Without `place` the database is
 * new and is deleted when the server stops; with it, the database in that folder is used and kept.
 *
 * The server gets a session of its own (`detached`), as a service manager would give it. Linux divides processor time between
 * sessions first, so that in ours it would share the time of one with the load generator, while each process of Postgres has
 * as much for itself.
 */
export async function startServer (settings: Record<string, string> = {}, place?: string) {
  const folder = place ?? await mkdtemp(path.join(os.tmpdir(), 'parley-bench-'))
  const child = spawn(process.execPath, [program], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', DATA_DIR: path.join(folder, 'data'), RATE_LIMITS: 'off', BCRYPT_COST: '10', LOG_LEVEL: 'info', ...settings },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let said = ''
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000)
      const [, listening] = /listening at (http:[^"]+)"/.exec(said) ?? []
      if (listening !== undefined) resolve(listening)
    })
    child.once('exit', () => reject(new Error(`The server ended: ${said}`)))
  })

  return {
    url,
    /** Resident memory of the server, in bytes. */
    memory: () => Number(execFileSync('ps', ['-o', 'rss=', '-p', `${child.pid}`]).toString()) * 1024,
    async post (path: string, body: object, token?: string) {
      const answer = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...token !== undefined && { authorization: `Bearer ${token}` } },
        body: JSON.stringify(body)
      })
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
      return await answer.json() as Record<string, unknown>
    },
    async stop () {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
      if (place === undefined) await rm(folder, { recursive: true, maxRetries: 5 })
    }
  }
}

/** The nth percentile of some values, in any order. NaN if there are none. */
export function percentile (values: number[], hundredths: number) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * hundredths / 100))] ?? NaN
}
