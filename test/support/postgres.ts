import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import pg from 'pg'
import { openPlace } from '../../src/db/embedded/place.ts'
import { chooseWay, give } from '../../src/db/embedded/program.ts'
import { until } from './process.ts'

const DEBIAN = '/usr/lib/postgresql'

/** The folder with the programs of the newest installed Postgres that has all tools; undefined if there is none. */
export const installed = (existsSync(DEBIAN) ? readdirSync(DEBIAN) : []).sort((a, b) => Number(a) - Number(b)).map(version => path.join(DEBIAN, version, 'bin'))
  .findLast(bin => ['initdb', 'postgres', 'pg_dump', 'psql'].every(name => existsSync(path.join(bin, name))))

/** Starts a Postgres that only this test stops and starts. It uses the programs in `bin`, by default those of the embedded Postgres. */
export async function startPostgres (t: Test, bin?: string) {
  const place = await openPlace(await mkdtemp(path.join(os.tmpdir(), 'parley-postgres-')))
  const way = await chooseWay(place)
  const program = (name: string, args: string[]) => way.command(path.join(bin ?? way.bin, name), args)
  const connection = { host: place.folder, port: 5432, user: 'postgres', database: 'postgres' }
  let ended: Promise<unknown> | undefined
  let pid = 0

  await give(place.folder, way)
  execFileSync(...program('initdb', ['-D', place.cluster, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']), { ...way.user, stdio: 'ignore' })

  async function start () {
    const args = ['-D', place.cluster, '-k', place.folder, '-c', 'listen_addresses=', '-c', 'fsync=off']
    const server = spawn(...program('postgres', args), { ...way.user, stdio: 'ignore' })
    pid = server.pid!
    ended = once(server, 'exit')
    await until(() => answers(connection))
  }

  /** Stops Postgres like `pg_ctl stop` (a fast shutdown): open connections are closed. */
  async function stop () {
    process.kill(pid, 'SIGINT')
    await ended
  }

  /** Ends Postgres like a crash (an immediate shutdown). It loses the transactions that are not on the disk yet, and uses their ids again. */
  async function crash () {
    process.kill(pid, 'SIGQUIT')
    await ended
  }

  t.teardown(async () => {
    await stop().catch(() => { /* the test has stopped it */ })
    await rm(place.folder, { recursive: true, maxRetries: 5 })
  })
  await start()
  return { connection, start, stop, crash }
}

async function answers (connection: pg.ClientConfig) {
  const client = new pg.Client(connection)
  client.on('error', () => { /* the caller tries again */ })
  return await client.connect().then(() => true, () => false).finally(() => client.end())
}
