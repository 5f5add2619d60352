import { EventEmitter, once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { Logger, runTaskList, type Job, type TaskList, type WorkerEvents, type WorkerPool } from 'graphile-worker'
import type pg from 'pg'
import { createDb } from '../db/client.ts'
import { createWorkerStore } from './worker-store.ts'

/** In seconds: how often a worker says that it lives, and after which silence it counts as dead. */
const HEARTBEAT_INTERVAL_SECONDS = 3
const DEAD_AFTER_SECONDS = 10

/** In milliseconds: how long what a worker has done may take to be noted, once it is over. */
const SHUTDOWN_TIMEOUT_MS = 1_000

const MAX_CONCURRENT_JOBS = 4

export interface WorkerOptions {
  connection: pg.PoolConfig
  tasks: TaskList
  log: Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn' | 'error'>
}
export type Worker = Awaited<ReturnType<typeof startWorker>>

/**
 * Does the jobs of the database, several at once, as long as the process lives, whatever becomes of the database
 * meanwhile. A job is done at least once: one that fails is tried again, later and later, and one whose worker died is
 * taken up by another within 15 s.
 */
export async function startWorker ({ connection, tasks, log }: WorkerOptions) {
  const db = createDb({ ...connection, application_name: 'parley-jobs', max: MAX_CONCURRENT_JOBS + 1 }, log)
  const workers = createWorkerStore(db)
  const logger = describeTo(log)
  let pool: Pick<WorkerPool, 'id'> & { end: () => Promise<void> } | undefined
  let stopping: Promise<void> | undefined
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  let beating = beat()

  /** Also begins anew what broke: a worker that could not say that its job is done gives up, and the job is another's. */
  async function beat () {
    try {
      if (stopping === undefined) pool ??= begin()
      if (pool !== undefined) await workers.isAlive(pool.id)
      await workers.unlockDead(DEAD_AFTER_SECONDS)
    } catch (err) {
      log.warn({ err }, 'A heartbeat of the job worker failed; trying again soon')
    }
    if (!isOver) timer = setTimeout(() => { beating = beat() }, HEARTBEAT_INTERVAL_SECONDS * 1_000).unref()
  }

  function begin () {
    const events: WorkerEvents = new EventEmitter()
    const begun = runTaskList({
      concurrency: MAX_CONCURRENT_JOBS,
      noHandleSignals: true,
      logger,
      events,
      // Without them nobody would catch that the database goes away just when a job is done.
      preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } }
    }, tasks, db.$client)

    // A worker keeps the answer to its first question, which tasks there are, even if there was none.
    const giveUp = () => setImmediate(() => begun.gracefulShutdown())
    events.once('worker:getJob:error', giveUp)
    for (const event of ['worker:getJob:empty', 'job:start'] as const) events.once(event, () => events.off('worker:getJob:error', giveUp))

    const over = whenOver(events)
    Promise.race([begun.promise, over]).catch(err => log.warn({ err }, 'The job worker stopped unexpectedly and restarts')).then(() => { pool = undefined })
    return { id: begun.id, end: async () => await Promise.race([begun.gracefulShutdown(), over]) }
  }

  /** Lets the jobs that are under way end; their heartbeat goes on meanwhile. */
  async function end () {
    const last = pool
    try {
      await last?.end()
      if (last !== undefined) await workers.isGone(last.id)
    } catch (err) {
      log.warn({ err }, 'The job worker did not stop cleanly; another one will take over its jobs')
    }
    isOver = true
    clearTimeout(timer)
    await beating
    // A connection that a queue which lost count has kept is not waited for: it goes with the process.
    await Promise.race([db.$client.end(), sleep(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })])
  }

  await beating
  return {
    /** Not in the moments between what broke and its new beginning, nor once it is stopped. */
    isWorking: () => pool !== undefined,
    stop () {
      stopping ??= end()
      return stopping
    }
  }
}

/**
 * All its jobs have ended, and had time to be noted. The queue's own promise may never tell: of several jobs in turn that
 * cannot be noted it loses count (graphile-worker 0.17.3).
 */
async function whenOver (events: WorkerEvents) {
  await Promise.race((['pool:gracefulShutdown:complete', 'pool:forcefulShutdown:complete', 'pool:forcefulShutdown:error'] as const)
    .map(async event => await once(events as EventEmitter, event)))
  await sleep(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })
}

/** graphile-worker's chatter is for debugging. Its errors are told without the job's payload, which may be private. */
function describeTo (log: WorkerOptions['log']) {
  return new Logger(() => (level, message, meta) => {
    const { error: err, job } = { ...meta } as { error?: Error, job?: Job }
    if (String(level) !== 'error') log.debug(message)
    else if (job === undefined) log.error({ err }, message)
    else log.error({ err, job: job.id, task: job.task_identifier, attempt: job.attempts }, 'A job failed')
  })
}
