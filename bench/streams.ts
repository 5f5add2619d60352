import { fork } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openBench, tokenOf } from './database.ts'
import type { Measure, Row } from './row.ts'
import { percentile } from './server.ts'

// Measures streamed replies of a language model: how much later the first word arrives than directly from the model, and
// what a thousand replies at once cost.

/** The pause between two words of a reply, in milliseconds. */
const EVERY = 100

interface Said { firstWord: number, text: string }

/** Measures a single streamed reply, one that streams while many others do, and many at once. */
export const measure: Measure = async function measure ({ isQuick }) {
  const streams = isQuick ? 100 : 1_000
  const words = isQuick ? 20 : 150
  const provider = fork(fileURLToPath(new URL('provider.ts', import.meta.url)))
  const [port] = await once(provider, 'message') as [number]
  const providerUrl = `http://127.0.0.1:${port}/v1`
  const bench = await openBench()
  try {
    const server = await bench.fill('streams', { users: streams + 1, conversations: 0, messages: 0, rich: 0, longest: 0 }, {
      OPENAI_API_KEY: 'bench', OPENAI_BASE_URL: providerUrl, MAX_GENERATIONS: '1100'
    })
    const rooms = await inTens(Array.from({ length: streams + 1 }, (_, n) => async () => await room(server.url, tokenOf(n + 1))))
    const through = (n: number, words: number) => ask(...rooms[n]!, { text: say(words) })
    const direct = () => ask(`${providerUrl}/chat/completions`, '', { stream: true, messages: [{ role: 'user', content: say(1) }] })

    await Promise.all(rooms.slice(1).map((_, n) => through(n, 10))) // measure memory at rest only after the code has run once
    const idle = await firstWords('first word of a reply', direct, () => through(streams, 1), 2.5, isQuick)
    await sleep(isQuick ? 0 : 5_000)
    const atRest = server.memory()
    let most = 0
    const watch = setInterval(() => { most = Math.max(most, server.memory()) }, 250)
    const replies = Promise.all(rooms.slice(1).map((_, n) => through(n, words)))
    await sleep(EVERY * words / 4)
    const busy = await firstWords(`first word while ${streams} replies grow`, direct, () => through(streams, 1), 5, isQuick)
    const heard = await replies
    clearInterval(watch)

    const complete = heard.filter(({ text }) => isComplete(text, words)).length
    const each = (most - atRest) / streams / 1024
    return [idle, busy,
      { what: 'complete of replies at once', measured: complete, unit: `of ${streams}`, ratio: complete, spread: [complete, complete], target: `= ${streams}`, isReached: complete === streams },
      { what: `memory of each of ${streams} replies`, measured: each, unit: 'kB', ratio: each, spread: [each, each], target: '≤ 40', isReached: each <= 40 }
    ]
  } finally {
    await bench.close()
    provider.kill()
  }
}

/** Asks the model directly and through the server, in turn. Returns how many milliseconds later the first word comes through the server; `most` is the target. */
async function firstWords (what: string, direct: () => Promise<Said>, through: () => Promise<Said>, most: number, isQuick: boolean): Promise<Row> {
  const rounds: Array<[direct: number, through: number]> = []
  for (let round = 0; round < (isQuick ? 2 : 5); round++) {
    const times = { direct: [] as number[], through: [] as number[] }
    for (let n = 0; n < 20; n++) {
      times.direct.push((await direct()).firstWord)
      times.through.push((await through()).firstWord)
    }
    rounds.push([percentile(times.direct, 50), percentile(times.through, 50)])
  }
  const more = rounds.map(([direct, through]) => through - direct)
  const ratio = percentile(more, 50)
  return {
    what,
    measured: percentile(rounds.map(([, through]) => through), 50),
    yardstick: percentile(rounds.map(([direct]) => direct), 50),
    unit: 'ms',
    ratio,
    spread: [Math.min(...more), Math.max(...more)],
    target: `≤ ${most}`,
    isReached: ratio <= most
  }
}

const say = (words: number) => `Say ${words} words, one every ${EVERY} ms`

const agent = new http.Agent({ keepAlive: true })

/** Posts JSON. Returns the response, and the milliseconds until its first word. */
async function ask (url: string, token: string, body: object): Promise<Said> {
  const begin = performance.now()
  const request = http.request(url, {
    agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, accept: 'text/event-stream' }
  })
  request.end(JSON.stringify(body))
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  let text = ''
  let firstWord = NaN
  for await (const chunk of answer.setEncoding('utf8')) {
    text += chunk
    if (Number.isNaN(firstWord) && text.includes('word0')) firstWord = performance.now() - begin
  }
  return { firstWord, text }
}

/** Creates a conversation with a language model. Returns the URL for its messages, and the user's token. */
async function room (url: string, token: string): Promise<[url: string, token: string]> {
  const { text } = await ask(`${url}/api/conversations`, token, { name: 'Room', bots: ['assistant'] })
  return [`${url}/api/conversations/${JSON.parse(text).id}/messages`, token]
}

async function inTens<T> (work: Array<() => Promise<T>>): Promise<T[]> {
  const done: T[] = []
  for (let n = 0; n < work.length; n += 10) done.push(...await Promise.all(work.slice(n, n + 10).map(one => one())))
  return done
}

/** Whether the words arrived one after the other, followed by the whole reply. */
function isComplete (text: string, words: number) {
  const whole = Array.from({ length: words }, (_, n) => `word${n} `).join('')
  const parts = [...text.matchAll(/event: (?:delta\ndata: |message\ndata: (?=.*"status":"streaming"))(.*)/g)].map(([, data]) => JSON.parse(data!).text)
  return parts.join('') === whole && text.includes(`"text":"${whole}","status":"complete"`)
}
