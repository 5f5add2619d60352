import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, realpath, rename, rm } from 'node:fs/promises'
import path from 'node:path'

/** The data folder, with the paths of the cluster and of Postgres's log in it. */
export type ClusterPlace = Awaited<ReturnType<typeof openPlace>>

export async function openPlace (dataDir: string) {
  const isNew = await makeFolder(path.resolve(dataDir), 0o700)
  const folder = await realpath(dataDir)
  return { folder, isNew, cluster: path.join(folder, 'postgres'), log: path.join(folder, 'postgres.log') }
}

/** Makes a folder and those above it. Returns whether it is new. (`recursive: true` does not return for a folder in /proc, on Node 20.) */
export async function makeFolder (folder: string, mode?: number): Promise<boolean> {
  if (existsSync(folder)) return false
  await makeFolder(path.dirname(folder))
  return mkdir(folder, mode).then(() => true, error => {
    if (existsSync(folder)) return false // another process was faster
    throw error
  })
}

/**
 * Fills a folder under a temporary name and then renames it, so that it is complete whenever it exists: even if two
 * processes do this at once, or one is killed. `proof` is a file that only a complete folder has.
 */
export async function build (folder: string, proof: string, fill: (draft: string) => Promise<unknown>) {
  if (existsSync(path.join(folder, proof))) return
  const draft = await mkdtemp(`${folder}.new-`)
  try {
    await fill(draft)
    await rename(draft, folder)
    const parent = await open(path.dirname(folder))
    await parent.sync() // otherwise a power failure could undo the rename, and everything written since would be lost
    await parent.close()
  } catch (error) {
    await rm(draft, { recursive: true, force: true, maxRetries: 5 })
    if (!existsSync(path.join(folder, proof))) throw error
  }
}

/** Gives the line of a log file that says why the program ended. */
export async function lastWords (log: string) {
  return lastLine((await readFile(log, 'utf8')).slice(-10_000))
}

export function lastLine (text: string) {
  const lines = text.trim().split('\n')
  const telling = lines.filter(line => /(FATAL|PANIC|error):/.test(line))
  return `${[lines.at(-1), ...telling].at(-1)}`.replace(/^.*(FATAL|PANIC|error): +/, '')
}
