import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openBench, tokenOf } from './database.ts'
import type { Measure } from './row.ts'
import { percentile } from './server.ts'

// Measures many sockets on one server, each with a user of its own. Several processes connect them. A hundred of these users
// have a conversation and exchange messages, while all others are idle.

/** The largest group: a user may start a conversation with 99 others. */
const GROUP = 100

export const measure: Measure = async function measure ({ isQuick }) {
  const sockets = isQuick ? 500 : 10_000
  const messages = isQuick ? 10 : 100
  const bench = await openBench()
  const clients: ChildProcess[] = []
  try {
    const { url, memory } = await bench.fill('sockets', { users: sockets, conversations: 0, messages: 0, rich: 0, longest: 0 })
    for (let n = 0; n < (isQuick ? 1 : 4); n++) clients.push(fork(fileURLToPath(new URL('socket-client.ts', import.meta.url))))
    const [first] = clients as [ChildProcess]
    // The first hundred users are in the first process, so that sender and receivers use the same clock.
    const share = sockets / clients.length
    const connect = async (from: number, to: number, client: ChildProcess) => {
      const tokens = Array.from({ length: to - from }, (_, n) => tokenOf(from + n + 1))
      await ask(client, { connect: { url, tokens } })
    }
    await connect(0, GROUP, first) // measure memory at rest only after the code for sockets has run once
    const names = Array.from({ length: GROUP - 1 }, (_, n) => `user-${n + 2}`)
    await ask(first, { group: { names } })
    await ask(first, { messages })
    await sleep(isQuick ? 0 : 5_000)
    const atRest = memory()
    for (const [n, client] of clients.entries()) await connect(n === 0 ? GROUP : n * share, (n + 1) * share, client)
    await sleep(isQuick ? 0 : 5_000)
    const each = (memory() - atRest) / (sockets - GROUP) / 1024
    const latencies = await ask<number[]>(first, { messages })
    const expected = messages * (GROUP - 1)
    if (latencies.length !== expected) throw new Error(`${latencies.length} deliveries instead of ${expected}`)
    const slowest = percentile(latencies, 99)
    return [
      { what: `memory of each of ${sockets} quiet sockets`, measured: each, unit: 'kB', ratio: each, spread: [each, each], target: '≤ 16', isReached: each <= 16 },
      {
        what: 'message to a group of 100, 99th percentile',
        measured: slowest,
        unit: 'ms',
        ratio: slowest,
        spread: [percentile(latencies, 0), percentile(latencies, 100)],
        target: '≤ 100',
        isReached: slowest <= 100
      }
    ]
  } finally {
    for (const client of clients) client.kill()
    await bench.close()
  }
}

async function ask<Answer> (client: ChildProcess, question: object): Promise<Answer> {
  client.send(question)
  const [answer] = await once(client, 'message') as [Answer]
  return answer
}
