import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

/** From -20, the highest priority, to 19, the lowest. At 10 a thread gets a tenth of the processor time of one at 0, if both need it. */
const PRIORITY = 10

/**
 * Lowers the priority of libuv's threads, so that hashing passwords does not take the processor away from the event loop and
 * from Postgres. Files and compressed responses use the same threads for a moment only, which the scheduler does not delay.
 * Only Linux lists the names of threads; elsewhere this does nothing.
 */
export async function lowerPoolPriority () {
  const files = globSync('/proc/self/task/*/comm')
  await Promise.allSettled(files.map(async file => {
    const name = await readFile(file, 'utf8')
    if (name === 'libuv-worker\n') os.setPriority(Number(path.basename(path.dirname(file))), PRIORITY)
  }))
}
