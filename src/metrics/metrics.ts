import type { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Db } from '../db/client.ts'
import type { Counted, MetricsStore } from './metrics-store.ts'

/** How long a scrape waits for the database, in milliseconds: it answers without it, well before Prometheus gives up. */
const QUERY_TIMEOUT_MS = 2_000

/** Upper bounds of the histograms, in seconds. */
const BUCKETS = {
  requests: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  queries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  firstTokens: [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60]
}

export type Metrics = ReturnType<typeof createMetrics>

/** A reply of a bot, as it ended; `error` is the code of what went wrong. */
export interface Ended { bot: string, outcome: 'complete' | 'stopped' | 'interrupted' | 'failed', error?: string | undefined }

/** What an instance has open at this moment, by the name of its metric; `busy` is 1 while it refuses requests. */
type Open = Record<'sockets' | 'streams' | 'generations' | 'busy', () => number>

/**
 * What can be seen from outside, for Prometheus: each app has its own. Labels are names out of the code, statuses, and
 * the names of bots, which only admins make: never what a caller chooses.
 * @see https://prometheus.io/docs/practices/naming/
 */
export function createMetrics ({ db, store, open }: { db: Db, store: MetricsStore, open: Open }) {
  const registry = new Registry()
  const registers = [registry]
  /** Tokens that were stored since the counters were read, by bot. */
  const stored = new Map<string, Record<'prompt' | 'completion', number>>()
  const { $client: pool } = db
  collectDefaultMetrics({ register: registry })

  const requests = new Histogram({ name: 'parley_http_request_seconds', help: 'From a request to its answer, or to the beginning of a stream', labelNames: ['method', 'route', 'status'], buckets: BUCKETS.requests, registers })
  const queries = new Histogram({ name: 'parley_query_seconds', help: 'Queries of requests, by the name of what is prepared', labelNames: ['query'], buckets: BUCKETS.queries, registers })
  const replies = new Counter({ name: 'parley_replies_total', help: 'Replies that bots were asked for, by how they ended', labelNames: ['bot', 'outcome', 'error'], registers })
  const tokens = new Counter({ name: 'parley_reply_tokens_total', help: 'Tokens that replies cost, of the prompt and of the completion, as /api/admin/usage has them', labelNames: ['bot', 'kind'], registers, collect: countTokens })
  const firstTokens = new Histogram({ name: 'parley_reply_first_token_seconds', help: 'Until a bot that takes its time began to speak', labelNames: ['bot'], buckets: BUCKETS.firstTokens, registers })

  gauge('parley_pool_connections', 'Connections to the database', () => pool.totalCount)
  gauge('parley_pool_idle', 'Connections to the database that do nothing', () => pool.idleCount)
  gauge('parley_pool_waiting', 'Queries that wait for a connection', () => pool.waitingCount)
  gauge('parley_sockets', 'Sockets that are connected', open.sockets)
  gauge('parley_streams', 'Readers of server-sent events', open.streams)
  gauge('parley_generations', 'Replies that this instance writes', open.generations)
  gauge('parley_busy', 'Whether requests are refused, since there is too much to do', open.busy)

  const isUp = new Gauge({ name: 'parley_database_up', help: 'Whether the database answered this scrape; if not, what is asked of it is left out', registers })
  const oldest = new Gauge({ name: 'parley_job_oldest_seconds', help: 'How long the oldest job that waits has been due', registers })
  const held = new Gauge({ name: 'parley_whatsapp_held_seconds', help: 'How long everything that is to be sent on WhatsApp has been held because of trouble with our account; 0 while nothing is', registers })
  const counted = {
    sessions: new Gauge({ name: 'parley_sessions', help: 'Sessions that are open, on all instances', labelNames: ['state'], registers }),
    jobs: new Gauge({ name: 'parley_jobs', help: 'Jobs of all instances', labelNames: ['state'], registers }),
    deliveries: new Gauge({ name: 'parley_whatsapp_deliveries', help: 'Replies on WhatsApp: all that are queued, and of the newest 10,000 those of the last day that are not', labelNames: ['state'], registers })
  }

  const queried: EventEmitter = pool
  queried.on('query', (query: string, seconds: number) => queries.observe({ query }, seconds))

  function gauge (name: string, help: string, count: () => number) {
    return new Gauge({ name, help, registers, collect () { this.set(count()) } })
  }

  let asking: Promise<Counted[] | undefined> | undefined

  /** What stands in the database, asked once for all who scrape meanwhile; nothing where it does not answer in time. */
  async function askDatabase () {
    asking ??= store.count().catch(() => undefined).finally(() => { asking = undefined })
    const rows = await Promise.race([asking, sleep(QUERY_TIMEOUT_MS, undefined, { ref: false })])
    isUp.set(rows === undefined ? 0 : 1)
    oldest.remove()
    held.remove()
    for (const each of Object.values(counted)) each.reset()
    for (const { what, state, value } of rows ?? []) {
      if (what === 'oldest') oldest.set(value)
      else if (what === 'held') held.set(value)
      else counted[what].set({ state }, value)
    }
  }

  return {
    contentType: registry.contentType,

    /** All of it, as Prometheus reads it; within a little more than two seconds, whatever the database does. */
    async scrape (): Promise<string> {
      await askDatabase()
      return await registry.metrics()
    },

    answered (method: string, route: string, status: number, seconds: number) {
      requests.observe({ method, route, status }, seconds)
    },

    replied ({ bot, outcome, error = '' }: Ended) {
      replies.inc({ bot, outcome, error })
    },

    firstToken (bot: string, seconds: number) {
      firstTokens.observe({ bot }, seconds)
    },

    /** To be told the tokens that were added to the stored costs; fewer than none where an estimate was too high. */
    spent ({ bot, promptTokens, completionTokens }: { bot: string, promptTokens: number, completionTokens: number }) {
      const { prompt = 0, completion = 0 } = stored.get(bot) ?? {}
      stored.set(bot, { prompt: prompt + promptTokens, completion: completion + completionTokens })
    }
  }

  /**
   * Brings the counters to what is stored, when they are read. A counter must not fall, or Prometheus takes it for one
   * that began anew: where a scrape has seen an estimate that was corrected since, the next tokens make up for it.
   */
  function countTokens () {
    for (const [bot, costs] of stored) {
      for (const kind of ['prompt', 'completion'] as const) {
        const uncounted = costs[kind]
        costs[kind] = Math.min(0, uncounted)
        tokens.inc({ bot, kind }, Math.max(0, uncounted))
      }
    }
  }
}
