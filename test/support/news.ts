import { once } from 'node:events'
import http from 'node:http'
import type { Test } from 'tap'
import type { Client, Headers } from './helper.ts'
import { connect, type Server } from './live.ts'
import { until } from './process.ts'
import { auth } from './socket-users.ts'

// Clients that keep a list of conversations by the news, over an event stream or a socket.

export interface Listed { id: number, name: string, last_updated: string, last_rev: number, read_rev: number, unread: number, members: number, newest: { text: string, status: string } | null }
export interface Told { event: string, data: Listed & { cursor: string, reset: boolean }, cursor: string | undefined }
type Who = Pick<Client, 'headers'>
export interface From { after?: string | undefined, lastEventId?: string | undefined }
export type Reader = Awaited<ReturnType<typeof openNewsStream>> | Awaited<ReturnType<typeof openNewsSocket>>

/** What a front end shows, from the news alone. */
function createList () {
  const told: Told[] = []
  const shown = new Map<number, Listed>()
  const list = {
    told,
    shown,
    cursor: undefined as string | undefined,
    take (news: Told) {
      told.push(news)
      list.cursor = news.cursor ?? list.cursor
      if (news.event === 'conversation') shown.set(news.data.id, news.data)
      if (news.event === 'gone') shown.delete(news.data.id)
    },
    of: (id: number) => told.filter(({ event, data }) => event !== 'ready' && data.id === id),
    /** Waits until the newest news of a conversation fit; `null`: until it is gone. Gives them. */
    has: async (id: number, fits: ((now: Listed) => unknown) | null) => await until(() => {
      const last = list.of(id).at(-1)
      if (fits === null) return last?.event === 'gone' && last
      return last?.event === 'conversation' && fits(last.data) && last
    }) as Told
  }
  return list
}

/** Opens the event stream of a user's news, and waits until it has caught up. */
export async function openNewsStream (t: Test, { url }: Pick<Server, 'url'>, client: Who, { after, lastEventId }: From = {}) {
  const headers: Headers = { ...client.headers, ...lastEventId !== undefined && { 'last-event-id': lastEventId } }
  const request = http.get(`${url}/api/events${after === undefined ? '' : `?after=${after}`}`, { headers, agent: false })
  t.teardown(() => request.destroy())
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  const list = createList()
  const raw: string[] = []
  let isOver = false
  read().catch(() => { /* closed, by us or by the server */ }).finally(() => { isOver = true })
  const stream = { ...list, answer, raw, isOver: () => isOver, leave: () => { request.destroy() } }
  if (answer.statusCode === 200) await until(() => list.told.some(({ event }) => event === 'ready') || isOver)
  return stream

  async function read () {
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) {
      raw.push(chunk)
      const blocks = (text + chunk).split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const { data, event, id } = Object.fromEntries(block.split('\n').map(line => line.split(/: ?(.*)/s))) as Record<string, string>
        if (data === undefined) t.fail(`a block without data: ${block}`)
        list.take({ event: event!, data: JSON.parse(data!), cursor: id })
        stream.cursor = list.cursor
      }
    }
  }
}

/** Opens a socket, joins the news, and waits until it has caught up. */
export async function openNewsSocket (t: Test, { url }: Pick<Server, 'url'>, client: Who, { after, lastEventId }: From = {}) {
  const socket = await connect(t, url, auth(client))
  const list = createList()
  const reader = { ...list, socket, isOver: () => !socket.connected, leave: () => { socket.close() } }
  socket.on('news', (news: Told) => {
    list.take(news)
    reader.cursor = list.cursor
  })
  const ready = await socket.emitWithAck('join_news', { after: after ?? lastEventId })
  if (!('code' in ready)) list.take({ event: 'ready', data: ready, cursor: ready.cursor })
  reader.cursor = list.cursor
  return reader
}

export const WAYS = { 'an event stream': openNewsStream, 'a socket': openNewsSocket }
