import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, realpath, rename, rm } from 'node:fs/promises'
import path from 'node:path'

/** The data folder, and what is in it: the cluster, its log, for a while drafts of either. */
export type ClusterPlace = Awaited<ReturnType<typeof openPlace>>

export async function openPlace (dataDir: string) {
  const isNew = await makeFolder(path.resolve(dataDir), 0o700)
  const folder = await realpath(dataDir)
  return { folder, isNew, cluster: path.join(folder, 'postgres'), log: path.join(folder, 'postgres.log') }
}

/** Makes a folder and those above it; says whether it is new. (`recursive: true` never ends in /proc, on Node 20.) */
export async function makeFolder (folder: string, mode?: number): Promise<boolean> {
  if (existsSync(folder)) return false
  await makeFolder(path.dirname(folder))
  return mkdir(folder, mode).then(() => true, error => {
    if (existsSync(folder)) return false // another starter was quicker
    throw error
  })
}

/** Fills a folder under a passing name, so that two starters, or one that is killed, leave a whole one or none. */
export async function build (folder: string, proof: string, fill: (draft: string) => Promise<unknown>) {
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

/** What a log or a program says of why it ended. */
export async function lastWords (log: string) {
  return lastLine((await readFile(log, 'utf8')).slice(-10_000))
}

export function lastLine (text: string) {
  const lines = text.trim().split('\n')
  const telling = lines.filter(line => /(FATAL|PANIC|error):/.test(line))
  return `${[lines.at(-1), ...telling].at(-1)}`.replace(/^.*(FATAL|PANIC|error): +/, '')
}
