import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from './config.ts'
import { answerScrapes } from './metrics/processes.ts'

// With WORKERS, several processes share the port: a primary process starts the workers and replaces those that die. Each
// worker is a whole server, as an instance on another machine would be; `node:cluster` hands them the connections in turn.

/** How long the primary waits before it replaces a worker that died, in milliseconds. */
const RESTART_DELAY_MS = 1_000

/** The identity of a worker, passed as JSON in its only argument. A worker that replaces a dead one gets the same seat. */
export interface Seat {
  /** From 1. The first worker also runs the jobs, gives the warnings and says that the server is running. */
  number: number
  /** A folder for the Unix sockets of the workers, which only this user can read. */
  folder: string
}

/** How many processes serve requests. */
export function countWorkers ({ WORKERS }: Pick<Config, 'WORKERS'>): number {
  return WORKERS === 'auto' ? os.availableParallelism() : Number(WORKERS)
}

/** The seat of this process; undefined in the primary, and in a server of one process. */
export function readSeat (): Seat | undefined {
  return cluster.isWorker ? JSON.parse(process.argv[2]!) as Seat : undefined
}

export function createWorkers (log: Pick<FastifyBaseLogger, 'error'>) {
  const workers = new Set<Worker>()
  let folder: string | undefined
  let isStopping = false

  return {
    /**
     * Starts the workers, the last one first, because the first one says that the server is running.
     * @returns false if one cannot start. It has said why.
     */
    async start (count: number): Promise<boolean> {
      folder = await mkdtemp(path.join(os.tmpdir(), 'parley-workers-'))
      answerScrapes()
      for (let number = count; number > 0; number--) {
        if (isStopping || !await isListening(fork({ number, folder }, true))) return false
      }
      return true
    },

    /** Ends the workers, and waits until they have ended. */
    async stop () {
      isStopping = true
      await Promise.all([...workers].map(async worker => {
        const ended = once(worker, 'exit')
        worker.process.kill('SIGTERM')
        await ended
      }))
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    }
  }

  function fork (seat: Seat, isFirstTry: boolean) {
    cluster.setupPrimary({ args: [JSON.stringify(seat)] })
    const worker = cluster.fork()
    let hasListened = false
    workers.add(worker)
    const closeUnanswered = followHandovers(worker)
    worker.on('error', () => { /* it has just died, so a write to it failed: 'exit' follows */ })
    if (worker.process.pid === undefined) {
      worker.once('error', err => {
        log.error({ err, worker: seat.number }, 'A worker could not be started')
        worker.process.emit('exit', null, null) // Node.js emits no 'exit' for a process that never was
      })
    }
    worker.once('listening', () => { hasListened = true })
    worker.once('exit', async (code, signal) => {
      workers.delete(worker)
      if (isStopping || (isFirstTry && !hasListened)) return
      log.error({ worker: seat.number, pid: worker.process.pid, code, signal }, 'A worker ended, and is replaced')
      await sleep(RESTART_DELAY_MS)
      closeUnanswered()
      if (!isStopping) fork(seat, false)
    })
    return worker
  }
}

async function isListening (worker: Worker) {
  return await Promise.race([once(worker, 'listening').then(() => true), once(worker, 'exit').then(() => false)])
}

/**
 * Follows the connections that are handed to a worker. `node:cluster` keeps each one open until the worker answers. If the worker dies
 * before, the client would wait for ever: the returned function closes these connections. It must be called a while after the
 * worker's end, when all of its answers have arrived. No other worker can get the connections, because the dead one may have
 * read a request.
 */
function followHandovers ({ process: child }: Worker) {
  const unanswered = new Map<unknown, { close: () => void }>()
  const { send } = child as { send: (...args: unknown[]) => boolean }
  child.send = (...args: unknown[]) => {
    const [{ act, seq }, connection] = args as [{ act?: string, seq?: number }, { close: () => void }]
    if (act === 'newconn') unanswered.set(seq, connection)
    return send.apply(child, args)
  }
  child.on('internalMessage', ({ ack }: { ack?: number }) => unanswered.delete(ack))
  return () => { for (const connection of unanswered.values()) connection.close() }
}
