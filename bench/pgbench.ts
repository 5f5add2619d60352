import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type pg from 'pg'
import { CLIENTS, isInstalled } from './load.js'

const execute = promisify(execFile)

export const HOW_TO_GET_PGBENCH = 'pgbench is not installed, so that there is nothing to hold the figures against. On Debian and Ubuntu it is in the package postgresql (apt-get install postgresql), on macOS in Homebrew\'s postgresql.'

export const hasPgbench = () => isInstalled('pgbench')

/**
 * The yardstick: a statement by itself, prepared, from 64 clients, without HTTP. Gives how many were done a second.
 * @see https://www.postgresql.org/docs/current/pgbench.html for the language of the script
 */
export async function pgbench ({ host, port, user, database }: pg.ClientConfig, script: string, seconds: number): Promise<number> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'parley-pgbench-'))
  const file = path.join(folder, 'script.sql')
  try {
    await writeFile(file, script)
    const { stdout } = await execute('pgbench', ['-h', host!, '-p', `${port}`, '-U', user!, '-n', '-M', 'prepared', '-c', `${CLIENTS}`, '-j', '1', '-T', `${seconds}`, '-f', file, database!])
    const failed = /number of failed transactions: (\d+)/.exec(stdout)?.[1] ?? '0'
    if (failed !== '0') throw new Error(`${failed} statements failed: ${script}`)
    return Number(/tps = ([\d.]+)/.exec(stdout)![1])
  } finally {
    await rm(folder, { recursive: true })
  }
}
