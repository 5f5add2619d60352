import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { openBench } from './database.ts'
import { hasPgbench, pgbench, type Length } from './pgbench.ts'
import { inTurns, rowOf, type Contest } from './rounds.ts'
import type { Measure } from './row.ts'

const CONNECTIONS = [1, 4, 16, 64]
const CONVERSATIONS = 2_000

/** How many transactions the quick form runs with each number of connections: enough to see what they wait for. */
const QUICK_TRANSACTIONS = 2_000

/** How often it is looked what the connections wait for, in milliseconds. */
const EVERY_MS = 20

const APPEND = `\\set conversation random(1, ${CONVERSATIONS})
SELECT id FROM append_message(:conversation, (:conversation - 1) / 100 + 1, 'What is to be said?', NULL, NULL, '{1}', '{"You said: What is to be said?"}', '{}', '{}', false, NULL);`

/**
 * Connections that each append by themselves, as several instances do, or replies of language models: all messages refer to
 * the same bot. Shows what they wait for, and whether more of them are slower than fewer.
 */
export const measure: Measure = async ({ isQuick }) => {
  if (!await hasPgbench()) return []
  const lengthFor = (count: number): Length => isQuick ? { each: Math.ceil(QUICK_TRANSACTIONS / count) } : { seconds: 3 }
  const bench = await openBench()
  try {
    const { connection } = await bench.fill('writers', { users: CONVERSATIONS / 100, conversations: 100, messages: 50, rich: 0, longest: 0 })
    const waits = new Map(CONNECTIONS.map(count => [count, new Map<string, number>()]))
    const figures = await inTurns(Object.fromEntries(CONNECTIONS.map(count => [count, async () => {
      const stopWatching = await watchWaits(connection, waits.get(count)!)
      try {
        return await pgbench(connection, APPEND, lengthFor(count), count)
      } finally {
        await stopWatching()
      }
    }])) as Contest, isQuick ? 1 : 5)
    return [
      ...[1, 4, 16].map(count => ({ ...rowOf(named(count), figures[count]!, figures[1]!, { share: 0 }), target: undefined, hasFallen: false, note: shares(waits.get(count)!) })),
      { ...rowOf(named(64), figures[64]!, figures[16]!, { share: 1 }), note: shares(waits.get(64)!) }
    ]
  } finally {
    await bench.close()
  }
}

const named = (count: number) => `${count} ${count === 1 ? 'connection appends' : 'connections append'} to one bot`

/** Counts what the other connections wait for, until the returned function is called. A connection that waits for nothing counts as running. */
async function watchWaits (connection: pg.ClientConfig, counts: Map<string, number>) {
  const client = new pg.Client(connection)
  await client.connect()
  const over = new AbortController()
  const watching = (async () => {
    while (!over.signal.aborted) {
      const { rows } = await client.query<{ wait: string }>(WAITS)
      for (const { wait } of rows) counts.set(wait, (counts.get(wait) ?? 0) + 1)
      await sleep(EVERY_MS)
    }
  })()
  return async () => {
    over.abort()
    await watching
    await client.end()
  }
}

const WAITS = `
  SELECT coalesce(wait_event_type || ' ' || wait_event, 'running') AS wait FROM pg_stat_activity
  WHERE application_name = 'pgbench' AND state = 'active'`

/** The most frequent of them, with their shares in percent. */
function shares (counts: Map<string, number>) {
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
  return [...counts].toSorted(([, a], [, b]) => b - a).slice(0, 4).map(([wait, count]) => `${wait} ${Math.round(100 * count / all)} %`).join(', ')
}
