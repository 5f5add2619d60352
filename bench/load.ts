import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CLIENTS, isInstalled } from './programs.ts'

const execute = promisify(execFile)

/** One request. The body is sent as JSON. */
export interface Call { method: 'GET' | 'POST', path: string, token?: string, body?: object }

/** The output of a load generator, which is JSON. */
interface Counted { requests: number, seconds: number, failed: number }

const WRK = fileURLToPath(new URL('wrk.lua', import.meta.url))
const AUTOCANNON = fileURLToPath(new URL('autocannon.ts', import.meta.url))

/**
 * Sends these requests repeatedly for some seconds over a number of connections, from a separate process: wrk if it is
 * installed, else autocannon. Returns how many were answered per second. Throws if a request fails.
 */
export async function drive (url: string, calls: Call[], seconds: number, clients = CLIENTS): Promise<number> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'parley-load-'))
  const file = path.join(folder, 'calls')
  try {
    await writeFile(file, calls.map(({ method, path, token = '', body }) => [method, path, token, body === undefined ? '' : JSON.stringify(body)].join('\t')).join('\n'))
    const { stdout } = await isInstalled('wrk')
      ? await execute('wrk', ['-t1', `-c${clients}`, `-d${seconds}s`, '--timeout', '10s', '-s', WRK, url, '--', file])
      : await execute(process.execPath, [AUTOCANNON, url, `${clients}`, `${seconds}`, file])
    await fetch(`${url}/health/ready`) // comes after the requests that were unanswered at the end, so that these do not disturb the next measurement
    const counted = JSON.parse(stdout.trim().split('\n').at(-1)!) as Counted
    if (counted.failed > 0) throw new Error(`${counted.failed} of ${counted.requests} requests failed, such as ${calls[0]!.method} ${calls[0]!.path}`)
    return counted.requests / counted.seconds
  } finally {
    await rm(folder, { recursive: true })
  }
}
