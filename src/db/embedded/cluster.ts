import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, lstat, open, readFile, readdir, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { CANNOT_START } from '../../errors.ts'
import { build, makeFolder, type ClusterPlace } from './place.ts'
import { chooseWay, give, type Way } from './program.ts'

const run = promisify(execFile)
const PORT = 5432 // only a part of the Unix socket's name: Postgres does not listen on a TCP port

/** Starts Postgres on a data folder, and creates the cluster if there is none. Calls `whenEnded` when the program has ended. */
export async function start (place: ClusterPlace, settings: Record<string, string>, formerPid: number, whenEnded: () => void) {
  const { folder, cluster } = place
  const way = await chooseWay(place)
  await makeCluster(place, way)
  const socket = await makeSocketFolder(folder, way)
  const all = { listen_addresses: '', unix_socket_permissions: '0700', ...settings }
  const args = ['-D', cluster, '-p', `${PORT}`, '-k', `"${socket.replaceAll('"', '""')}"`,
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  const log = await open(place.log, 'a', 0o600) // a file, since a pipe would break when this process ends
  const server = spawn(...way.command(path.join(way.bin, 'postgres'), args), {
    ...way.user,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    // Postgres refuses to start while the process id in its lock file belongs to any living process, except for the one
    // named here. We have checked that this process is not a Postgres, so its id was reused.
    env: { ...process.env, LC_ALL: 'C', PG_GRANDPARENT_PID: `${formerPid}` }
  })
  once(server, 'exit').then(whenEnded, whenEnded)
  server.unref()
  await log.close()
}

async function makeCluster ({ folder, cluster }: ClusterPlace, way: Way) {
  await build(cluster, 'PG_VERSION', async draft => {
    await give(draft, way)
    const args = ['-D', draft, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
    await run(...way.command(path.join(way.bin, 'initdb'), args), { ...way.user, env: { ...process.env, LC_ALL: 'C' } })
  })
  const version = (await readFile(path.join(cluster, 'PG_VERSION'), 'utf8')).trim()
  if (version !== way.major) {
    throw new CANNOT_START(`The data folder ${folder} was made by Postgres ${version}, but this is Postgres ${way.major}: move the folder away, choose another with DATA_DIR, or dump its data with Postgres ${version} and restore it here.`)
  }
  await chmod(cluster, 0o700) // Postgres refuses a folder that others may read, as a restored copy may be
  await give(cluster, way)
  // The cluster is complete. Remove unfinished drafts, of a process that was killed or that another one overtook.
  const drafts = (await readdir(folder)).filter(name => name.includes('.new-'))
  await Promise.allSettled(drafts.map(name => rm(path.join(folder, name), { recursive: true, force: true })))
}

async function makeSocketFolder (folder: string, way: Way) {
  const inside = path.join(folder, 'socket')
  const fits = Buffer.byteLength(path.join(inside, `.s.PGSQL.${PORT}`)) <= 103 // the limit on macOS; Linux allows 107
  const socket = fits ? inside : path.join(os.tmpdir(), `parley-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`)
  await makeFolder(socket, 0o700)
  const { uid, mode } = await lstat(socket)
  if (![process.getuid?.(), way.user.uid].includes(uid) || (mode & 0o170077) !== 0o040000) {
    throw new CANNOT_START(`The folder ${socket} for Postgres's socket belongs to another user or is open to others: remove it and start again.`)
  }
  await give(socket, way)
  return socket
}
