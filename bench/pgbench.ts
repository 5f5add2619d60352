import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type pg from 'pg'
import { RANDOM_PAGE_COST } from '../src/db/client.ts'
import { CLIENTS, isInstalled } from './programs.ts'

const execute = promisify(execFile)

export const HOW_TO_GET_PGBENCH = 'pgbench is not installed, so there is no yardstick to compare the figures with. On Debian and Ubuntu it is in the package postgresql (apt-get install postgresql), on macOS in Homebrew\'s postgresql.'

export const hasPgbench = () => isInstalled('pgbench')

/** How long pgbench runs: for a number of seconds, or until each client has run a number of statements. */
export type Length = { seconds: number } | { each: number }

/** The setting of the server's own connections that changes how Postgres plans. */
const env = { ...process.env, PGOPTIONS: `-c random_page_cost=${RANDOM_PAGE_COST}` }

/**
 * Runs one prepared statement from 64 clients, or another number, without HTTP. Returns how many were run per second.
 *
 * pgbench starts counting the seconds before its clients connect, and prints no figure when the time is over by then. On a
 * busy machine connecting takes longer than two seconds, so a short run must count statements instead.
 * @see https://www.postgresql.org/docs/current/pgbench.html for the language of the script
 */
export async function pgbench ({ host, port, user, database }: pg.ClientConfig, script: string, length: Length, clients = CLIENTS): Promise<number> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'parley-pgbench-'))
  const file = path.join(folder, 'script.sql')
  try {
    await writeFile(file, script)
    const { stdout } = await execute('pgbench', ['-h', host!, '-p', `${port}`, '-U', user!, '-n', '-M', 'prepared', '-c', `${clients}`, '-j', '1', ...'seconds' in length ? ['-T', `${length.seconds}`] : ['-t', `${length.each}`], '-f', file, database!], { env })
    const failed = /number of failed transactions: ([1-9]\d*)/.exec(stdout)?.[1]
    if (failed !== undefined) throw new Error(`${failed} statements failed: ${script}`)
    const figure = /tps = ([\d.]+)/.exec(stdout)?.[1]
    if (figure === undefined) throw new Error(`pgbench measured nothing: ${stdout}`)
    return Number(figure)
  } finally {
    await rm(folder, { recursive: true })
  }
}
