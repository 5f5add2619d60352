import { EventEmitter, once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { Logger, runTaskList, type Job, type TaskList, type WorkerEvents, type WorkerPool } from 'graphile-worker'
import type pg from 'pg'
import { APPLICATION_NAMES, createDb } from '../db/client.ts'
import { createWorkerStore } from './worker-store.ts'

/** In seconds: how often a worker sends a heartbeat, and how long after the last one it counts as dead. */
const HEARTBEAT_INTERVAL_SECONDS = 3
const DEAD_AFTER_SECONDS = 10

/**
 * In seconds: how long after the queue has given a job to this worker it must have begun. It is longer than a query may take, and a
 * process that was paused meanwhile no longer accepts the response.
 */
const LOST_AFTER_SECONDS = 15

/** In milliseconds: how long we wait, after the last job has ended, for its result to be stored. */
const SHUTDOWN_TIMEOUT_MS = 1_000

const MAX_CONCURRENT_JOBS = 4

export interface WorkerOptions {
  connection: pg.PoolConfig
  tasks: TaskList
  log: Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn' | 'error'>
}
export type Worker = Awaited<ReturnType<typeof startWorker>>

/**
 * Runs jobs from the database until it is stopped, several at once. It survives outages of the database. A job runs at
 * least once: a job that fails is tried again with growing pauses, another worker takes over the jobs of a dead one within
 * 15 s, and a job that this worker was given but did not hear of begins within 20 s.
 */
export async function startWorker ({ connection, tasks, log }: WorkerOptions) {
  const db = createDb({ ...connection, application_name: APPLICATION_NAMES.jobs, max: MAX_CONCURRENT_JOBS + 1 }, log)
  const workers = createWorkerStore(db)
  const logger = describeTo(log)
  const jobs = followJobs()
  let pool: Pick<WorkerPool, 'id'> & { end: () => Promise<void> } | undefined
  let stopping: Promise<void> | undefined
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  let beating = beat()

  /** Sends a heartbeat, and starts the worker again if it has stopped. It stops when it could not store a job's result. */
  async function beat () {
    try {
      if (stopping === undefined) pool ??= begin()
      if (pool !== undefined) {
        await workers.isAlive(pool.id)
        await workers.disownLost(pool.id, jobs.running(), LOST_AFTER_SECONDS)
      }
      await workers.unlockDead(DEAD_AFTER_SECONDS)
    } catch (err) {
      log.warn({ err }, 'A heartbeat of the job worker failed; trying again soon')
    }
    if (!isOver) timer = setTimeout(() => { beating = beat() }, HEARTBEAT_INTERVAL_SECONDS * 1_000).unref()
  }

  function begin () {
    const events: WorkerEvents = new EventEmitter()
    jobs.follow(events)
    const begun = runTaskList({
      concurrency: MAX_CONCURRENT_JOBS,
      noHandleSignals: true,
      logger,
      events,
      // Report each result at once. With a delay, results are stored in batches, and an error while the database is away
      // would be an unhandled rejection.
      preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } }
    }, tasks, db.$client)

    // Restart a worker whose first query failed: it remembers the result of that query, a list of the tasks, even if it was
    // an error, and would never work.
    const giveUp = () => setImmediate(() => begun.gracefulShutdown())
    events.once('worker:getJob:error', giveUp)
    for (const event of ['worker:getJob:empty', 'job:start'] as const) events.once(event, () => events.off('worker:getJob:error', giveUp))

    const over = whenOver(events)
    Promise.race([begun.promise, over]).catch(err => log.warn({ err }, 'The job worker stopped unexpectedly and restarts')).then(() => { pool = undefined })
    return { id: begun.id, end: async () => await Promise.race([begun.gracefulShutdown(), over]) }
  }

  /** Waits until the running jobs have ended. Heartbeats go on meanwhile. */
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
    // Limit the wait: after an outage the queue may never release a connection. The end of the process closes it.
    await Promise.race([db.$client.end(), sleep(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })])
  }

  await beating
  return {
    /** False while the worker restarts after an error, and once it is stopped. */
    isWorking: () => pool !== undefined,
    stop () {
      stopping ??= end()
      return stopping
    }
  }
}

/** Knows which jobs run. A job counts as running until its result must have been stored. */
function followJobs () {
  /** Until when each job counts as running, on the clock of `performance.now()`. */
  let untilWhen = new Map<string, number>()

  return {
    running () {
      const now = performance.now()
      untilWhen = new Map([...untilWhen].filter(([, end]) => end > now))
      return [...untilWhen.keys()]
    },

    follow (events: WorkerEvents) {
      events.on('job:start', ({ job: { id } }) => { untilWhen.set(id, Infinity) })
      events.on('job:complete', ({ job: { id } }) => { untilWhen.set(id, performance.now() + LOST_AFTER_SECONDS * 1_000) })
    }
  }
}

/**
 * Resolves when all jobs have ended and had time to be stored. We do not wait for the promise of graphile-worker itself: it
 * never resolves when the results of several jobs in a row could not be stored (0.17.3).
 */
async function whenOver (events: WorkerEvents) {
  await Promise.race((['pool:gracefulShutdown:complete', 'pool:forcefulShutdown:complete', 'pool:forcefulShutdown:error'] as const)
    .map(async event => await once(events as EventEmitter, event)))
  await sleep(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })
}

/** Passes graphile-worker's messages on to our log: errors without the job's payload, which may be private; the rest as debug messages. */
function describeTo (log: WorkerOptions['log']) {
  return new Logger(() => (level, message, meta) => {
    const { error: err, job } = { ...meta } as { error?: Error, job?: Job }
    if (String(level) !== 'error') log.debug(message)
    else if (job === undefined) log.error({ err }, message)
    else log.error({ err, job: job.id, task: job.task_identifier, attempt: job.attempts }, 'A job failed')
  })
}
