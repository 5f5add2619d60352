import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { tokenOf } from './database.ts'
import { drive } from './load.ts'

/** Starts a server that does the least possible for a request, in a session of its own, like the one that is measured. See bare-server.ts. */
export async function startBareServer (text: string) {
  const child = fork(fileURLToPath(new URL('bare-server.ts', import.meta.url)), { detached: true })
  const [port] = await once(child, 'message') as [number]
  return {
    /** Returns how many requests with JSON and a token it answers per second. */
    measure: (seconds: number) => drive(`http://127.0.0.1:${port}`, [{ method: 'POST', path: '/', token: tokenOf(1), body: { text } }], seconds),
    async stop () {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    }
  }
}

/**
 * The most that HTTP and the database can do together where both share the processors: a request takes as long as its two
 * parts, one after the other. Arguments and result are per second, one for each round of `database`.
 */
export function limitOf (http: number[], database: number[]): number[] {
  return database.map((requests, round) => 1 / (1 / requests + 1 / http[round]!))
}

/** The best of some figures for each round. Which number of clients is best depends on the machine. */
export function bestOf (figures: number[][]): number[] {
  return figures[0]?.map((_, round) => Math.max(...figures.map(rounds => rounds[round]!))) ?? []
}
