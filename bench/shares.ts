import { once } from 'node:events'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { openBench, run, tokenOf } from './database.ts'
import type { Measure } from './row.ts'
import { percentile } from './server.ts'

/** The number of ordinary users, and how many milliseconds each waits between two requests. */
const USERS = 20
const PAUSE = 100

/** How many requests the greedy user always has under way, and for how many milliseconds it pauses after a refusal. */
const GREEDY = 60
const REFUSED_PAUSE = 50

/** The data of the greedy user, whose list of conversations is as large as it can be: 80 MB of messages on one page. */
const LARGEST = { conversations: 50, messages: 50, text: '😀'.repeat(8_000) }

/** Measures how much one account that requests as much as possible, over 60 connections, slows down 20 others. */
export const measure: Measure = async function measure ({ isQuick }) {
  const seconds = isQuick ? 1 : 8
  const bench = await openBench()
  try {
    const filled = await bench.fill('shares', { users: USERS, conversations: 5, messages: 20, rich: LARGEST.conversations, longest: 0 }, { RATE_LIMITS: 'on', RATE_LIMIT: '1000000' })
    await run(filled.connection, `UPDATE messages SET text = '${LARGEST.text}' FROM conversations c WHERE c.id = conversation_id AND c.owner_id = ${USERS + 1}`)
    const { url } = filled

    const everybody = async (milliseconds: number) => (await Promise.all(Array.from({ length: USERS }, (_, n) => ordinary(url, tokenOf(1 + n), milliseconds)))).flat()
    await everybody(1_000) // warms up the server
    const rounds: Array<[alone: number, beside: number]> = []
    for (let round = 0; round < (isQuick ? 1 : 3); round++) {
      const alone = await everybody(seconds * 1_000)
      const over = new AbortController()
      const attack = Promise.all(Array.from({ length: GREEDY }, () => greedy(url, tokenOf(USERS + 1), over.signal)))
      await sleep(500)
      const beside = await everybody(seconds * 1_000)
      over.abort()
      const pages = (await attack).reduce((sum, pages) => sum + pages, 0)
      if (pages === 0) throw new Error('The greedy user got no page')
      rounds.push([percentile(alone, 99), percentile(beside, 99)])
    }
    const ratios = rounds.map(([alone, beside]) => beside / alone)
    const ratio = percentile(ratios, 50)
    return [{
      what: `${USERS} users beside one that asks for everything`,
      measured: percentile(rounds.map(([, beside]) => beside), 50),
      yardstick: percentile(rounds.map(([alone]) => alone), 50),
      unit: 'ms',
      ratio,
      spread: [Math.min(...ratios), Math.max(...ratios)],
      target: '≤ 3',
      isReached: ratio <= 3
    }]
  } finally {
    await bench.close()
  }
}

/** Requests a user's list of conversations and their profile in turn. Returns the milliseconds that each request took. Throws if one fails. */
async function ordinary (url: string, token: string, milliseconds: number) {
  const times: number[] = []
  const begin = performance.now()
  await sleep(Math.random() * PAUSE)
  for (let n = 0; performance.now() - begin < milliseconds; n++) {
    const asked = performance.now()
    const status = await get(url, n % 2 === 0 ? '/api/me' : '/api/conversations', token)
    if (status !== 200) throw new Error(`An ordinary user was answered with ${status}`)
    times.push(performance.now() - asked)
    await sleep(PAUSE)
  }
  return times
}

/** Requests pages all the time. Returns how many it got. */
async function greedy (url: string, token: string, signal: AbortSignal) {
  let pages = 0
  while (!signal.aborted) {
    const status = await get(url, '/api/conversations?limit=200&messages=200', token)
    if (status === 200) pages++
    else if (status === 429) await sleep(REFUSED_PAUSE)
    else throw new Error(`The greedy user was answered with ${status}`)
  }
  return pages
}

const agent = new http.Agent({ keepAlive: true })

async function get (url: string, path: string, token: string): Promise<number> {
  const request = http.get(url + path, { agent, headers: { authorization: `Bearer ${token}` } })
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  answer.resume()
  await once(answer, 'end')
  return answer.statusCode!
}
