import { once } from 'node:events'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { openBench, tokenOf } from './database.ts'
import type { Measure } from './row.ts'
import { percentile } from './server.ts'

/** How many logins, and how many requests to other routes, are sent per second, whether or not earlier ones were answered. */
const LOGINS = 100
const OTHERS = 200

/** The time that a refused or failed request counts as, in milliseconds. */
const REFUSED = 10_000

/** Measures how many logins at once, at the default bcrypt cost, slow down users who are logged in already. */
export const measure: Measure = async function measure ({ isQuick }) {
  const seconds = isQuick ? 1 : 8
  const bench = await openBench()
  try {
    const { url } = await bench.fill('logins', { users: 20, conversations: 5, messages: 20, rich: 0, longest: 0 }, { BCRYPT_COST: '12' })
    const account = { username: 'somebody', password: 'correct horse' }
    if (await ask(url, 'POST', '/api/signup', '', account) !== 201) throw new Error('The account for the logins could not be created')
    const answered = new Map<number, number>()

    const logIn = async () => {
      const status = await ask(url, 'POST', '/api/login', '', account)
      answered.set(status, (answered.get(status) ?? 0) + 1)
      return true
    }
    const list = async (n: number) => await ask(url, 'GET', '/api/conversations', tokenOf(1 + n % 20)) === 200
    await offer(seconds, [{ rate: OTHERS, work: list }]) // warms up the server
    const rounds: Array<[alone: number, beside: number]> = []
    for (let round = 0; round < (isQuick ? 1 : 3); round++) {
      const [alone] = await offer(seconds, [{ rate: OTHERS, work: list }])
      const [beside] = await offer(seconds, [{ rate: OTHERS, work: list }, { rate: LOGINS, work: logIn }])
      rounds.push([percentile(alone!, 99), percentile(beside!, 99)])
    }
    if (answered.get(200) === undefined) throw new Error(`Logins were answered with ${[...answered.keys()].join(', ')}`)
    const ratios = rounds.map(([alone, beside]) => beside / alone)
    const ratio = percentile(ratios, 50)
    return [{
      what: `other routes beside ${LOGINS} logins a second`,
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

/**
 * Starts work at these rates per second, however long it takes. Returns how many milliseconds each piece of work took,
 * measured from the moment at which it was due.
 */
async function offer (seconds: number, works: Array<{ rate: number, work: (n: number) => Promise<boolean> }>): Promise<number[][]> {
  const begin = performance.now()
  return await Promise.all(works.map(async ({ rate, work }) => {
    const all: Array<Promise<number>> = []
    for (let n = 0; n < rate * seconds; n++) {
      const due = begin + n * 1000 / rate
      const early = due - performance.now()
      if (early > 0) await sleep(early)
      all.push(work(n).catch(() => false).then(isDone => isDone ? performance.now() - due : REFUSED))
    }
    return await Promise.all(all)
  }))
}

const agent = new http.Agent({ keepAlive: true })

async function ask (url: string, method: string, path: string, token: string, body?: object): Promise<number> {
  const request = http.request(url + path, { agent, method, headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` } })
  request.end(body && JSON.stringify(body))
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  answer.resume()
  await once(answer, 'end')
  return answer.statusCode!
}
