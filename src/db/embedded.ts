import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { CANNOT_START } from '../errors.ts'
import { start } from './embedded/cluster.ts'
import { lastLine, lastWords, openPlace, type ClusterPlace } from './embedded/place.ts'

const run = promisify(execFile)
const ADVISORY_LOCK_KEY = 0x7061726c
const START_TIMEOUT_MS = 60_000

/** How long we wait before we try again to start a Postgres that crashed and does not start, in milliseconds. */
const RETRY_INTERVAL_MS = 5_000

export interface EmbeddedPostgres {
  /** The settings for `pg`. They include `port` and `ssl`, so that PGPORT or PGSSLMODE in the environment have no effect. */
  connection: { host: string, port: number, user: string, database: string, ssl: false }
  /** Disconnects. The last process to leave stops Postgres and waits until it is down. */
  leave: () => Promise<void>
}

/**
 * Connects to the Postgres that runs on this data folder, or starts one with `settings` (passed as `-c name=value`).
 *
 * Several processes may share one embedded Postgres, and the last one to leave stops it. To count them, each process holds
 * a shared advisory lock on a connection of its own; the lock is released even if the process is killed. Postgres runs in
 * a session of its own, so that neither Ctrl-C nor a `kill -9` of this process ends it.
 * @throws CANNOT_START with a sentence that says what to do
 */
export async function joinPostgres (dataDir: string, settings: Record<string, string> = {}): Promise<EmbeddedPostgres> {
  try {
    const place = await openPlace(dataDir)
    let { client, connection } = await enter(place, settings)
    let returned: Promise<void> | undefined
    let left: Promise<void> | undefined

    // When a backend crashes or Postgres is killed, all connections are lost, and with ours the lock. Without the lock
    // this process would count as gone, and the next process to leave would stop Postgres while this one uses it.
    function comeBackIfLost () {
      client.once('end', () => { if (left === undefined) returned = comeBack() })
    }

    /** Tries again until it succeeds: what keeps Postgres from starting, such as a full disk, may be over later. Queries report the error. */
    async function comeBack (): Promise<void> {
      const again = await enter(place, settings).catch(() => sleep(RETRY_INTERVAL_MS))
      if (again !== undefined) {
        client = again.client
        comeBackIfLost()
      } else if (left === undefined) await comeBack()
    }
    comeBackIfLost()

    async function depart () {
      await returned
      await leave(client, place)
    }
    return {
      connection,
      async leave () {
        left ??= depart()
        await left
      }
    }
  } catch (cause) {
    if (cause instanceof CANNOT_START) throw cause
    const { stderr, message } = cause as { stderr?: string, message: string }
    throw new CANNOT_START(`The data folder ${path.resolve(dataDir)} cannot be used (${lastLine(stderr || message)}): choose another with DATA_DIR, or set DATABASE_URL.`, { cause })
  }
}

/**
 * Connects to the running Postgres, or starts one. Postgres's own lock file says whether one runs and where its socket is:
 * the process that started it may use another socket folder than this one would.
 */
async function enter (place: ClusterPlace, settings: Record<string, string>) {
  const giveUp = performance.now() + START_TIMEOUT_MS
  let isStarting = false
  let starts = 0
  for (;;) {
    const server = await findServer(place.cluster)
    const entered = server.isReady && await connect(server)
    if (entered) return entered
    if (performance.now() > giveUp) {
      throw new CANNOT_START(`The Postgres of ${place.folder} (process ${server.pid}) is not ready after a minute. If ${place.log} shows that it is still recovering, start again later; otherwise end that process first.`)
    }
    if (!server.isAlive && !isStarting) {
      // Starting may fail while another process's Postgres is shutting down, or while the last backend of a killed one
      // still runs. So try several times, with growing pauses.
      if (starts === 7) throw new CANNOT_START(`Postgres does not start: ${await lastWords(place.log)}. See ${place.log} for more, or set DATABASE_URL.`)
      await sleep(25 * 2 ** starts++ - 25)
      isStarting = true
      await start(place, settings, server.pid, () => { isStarting = false })
    }
    await sleep(10)
  }
}

/** @see https://www.postgresql.org/docs/current/storage-file-layout.html for `postmaster.pid` */
async function findServer (cluster: string) {
  const file = await readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch(error => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const [, , , port, host = '', , , status = ''] = file.split('\n')
  const pid = Number.parseInt(file)
  const isAlive = await isPostmaster(pid, cluster)
  return { pid, host, port: Number(port), isAlive, isReady: isAlive && status.startsWith('ready') && host !== '' }
}

/** Whether this process is the Postgres of this cluster. Checks its command line, since after a crash another program may have the same process id. */
async function isPostmaster (pid: number, cluster: string) {
  const command = process.platform === 'linux'
    ? readFile(`/proc/${pid}/cmdline`, 'utf8')
    /* c8 ignore next -- macOS has no /proc, small Linux images no ps */
    : run('ps', ['-ww', '-o', 'command=', '-p', `${pid}`]).then(({ stdout }) => stdout.replace(/ -\w /g, '\0'))
  return (await command.catch(() => '')).split('\0').includes(cluster)
}

/** Connects and takes the lock; undefined when the server is busy starting or stopping, or does not answer. */
async function connect ({ host, port }: { host: string, port: number }) {
  const connection = { host, port, user: 'postgres', database: 'postgres', ssl: false as const }
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 3_000, query_timeout: 3_000 })
  client.on('error', () => { /* 'end' follows, and that is listened to */ })
  try {
    await client.connect()
    await client.query('SELECT pg_advisory_lock_shared($1)', [ADVISORY_LOCK_KEY])
    return { client, connection }
  } catch {
    client.end()
  }
}

async function leave (client: pg.Client, { cluster }: ClusterPlace) {
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1)', [ADVISORY_LOCK_KEY])
    const { rows: [answer] } = await client.query('SELECT pg_try_advisory_lock($1) AS is_last', [ADVISORY_LOCK_KEY])
    if (answer.is_last) await stop(cluster)
  /* c8 ignore next 3 -- needs a Postgres that dies at this very moment, which happens in a test only by chance */
  } catch {
    // Postgres is gone or does not answer, so we cannot stop it cleanly.
  }
  await client.end()
}

async function stop (cluster: string) {
  const { pid } = await findServer(cluster)
  process.kill(pid, 'SIGINT') // fast shutdown: closes the remaining connections and writes a checkpoint
  const giveUp = performance.now() + START_TIMEOUT_MS
  while (await isPostmaster(pid, cluster) && performance.now() < giveUp) await sleep(10)
}
