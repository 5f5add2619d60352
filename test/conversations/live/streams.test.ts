import t from 'tap'
import Fastify from 'fastify'
import { createSse } from '../../../src/conversations/live/sse.ts'
import { createStreams, type Wire } from '../../../src/conversations/live/streams.ts'
import type { Change, FeedStore, News } from '../../../src/log/feed-store.ts'
import { createEvents } from '../../../src/log/followers.ts'
import { silent } from '../../support/constants.ts'
import { until } from '../../support/process.ts'

// Event streams over HTTP, without a database.

t.test('an error in a protocol ends the stream of its reader only', async t => {
  const reply: Change = { id: 2, rev: 2, sender: 'bot', username: 'slow', text: '', status: 'streaming', created_at: new Date(), author: null, clientId: null }
  const log: Change[] = [reply]
  const news = ({ conversation, after }: { conversation: number, after: number }): News =>
    ({ conversation, lastRev: log.at(-1)!.rev, members: new Set([1]), changes: log.filter(({ rev }) => rev > after), more: false, streaming: [] })
  const feeds: FeedStore = {
    news: async places => places.map(news),
    newsFor: async (_user, conversation, after) => news({ conversation, after }),
    stale: async () => []
  }
  const sessions = { watch: () => () => {} }
  const events = createEvents({ publish: async () => {}, subscribe () {} }, feeds, silent)
  const streams = createStreams(createSse(sessions), events, feeds, sessions)
  let failures = 0
  const told = (what: string, fails: boolean) => {
    if (fails) throw new Error(`cannot write ${what} ${++failures}`)
    return `data: ${what}\n\n`
  }
  const wireOf = (fault: unknown): Wire => ({
    headers: {},
    message: ({ id }) => told('message', fault === 'message' && id > 2),
    delta: () => told('delta', fault === 'delta'),
    broken: ''
  })

  const app = Fastify()
  t.teardown(() => app.close())
  app.decorateReply('leaveSlot', () => {})
  app.get<{ Params: { fault: string } }>('/:fault', async (request, answer) =>
    await streams.send(answer, { user: { id: 1, sessionId: 1 } as never, conversation: 1, after: 0, wire: wireOf(request.params.fault) }, request.log))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const heard = new Map<string, string[]>()
  for (const fault of ['delta', 'message', 'none']) {
    const lines: string[] = []
    heard.set(fault, lines)
    const { body } = await fetch(`${url}/${fault}`)
    read(body!, lines).catch(() => lines.push('broken off'))
  }
  const hears = async (fault: string, ...lines: string[]) => {
    await until(() => heard.get(fault)!.length >= lines.length)
    t.same(heard.get(fault), lines, fault)
  }
  for (const fault of heard.keys()) await hears(fault, 'message')
  await events.settle()

  events.grew({ conversation: 1, id: 2 }, { part: 0, type: 'text', text: 'Well', piece: 'Well', before: 0 })
  await hears('delta', 'message', 'broken off')
  await hears('message', 'message', 'delta')
  log.push({ ...reply, id: 3, rev: 3 }, { ...reply, id: 4, rev: 4 })
  events.changed(1)
  await hears('message', 'message', 'delta', 'broken off')
  await hears('none', 'message', 'delta', 'message', 'message')
  t.equal(failures, 2, 'each of the two streams failed once')
  await until(() => streams.count() === 1)
  streams.close()
})

async function read (body: ReadableStream<Uint8Array<ArrayBuffer>>, lines: string[]) {
  for await (const text of body.pipeThrough(new TextDecoderStream())) lines.push(...Array.from(text.matchAll(/data: (.*)/g), ([, data]) => data!))
}
