import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { io } from 'socket.io-client'
import type { Message } from '../../src/log/message.ts'
import { growingPartsOf } from '../../src/text/message-parts.ts'
import type { Client, startApp } from './helper.ts'

// Clients that read a live conversation like a front end, over an event stream or a socket.

type Who = Pick<Client, 'headers'>
type App = Awaited<ReturnType<typeof startApp>>
type Shown = Pick<Message, 'id' | 'rev' | 'text' | 'status' | 'username' | 'parts'>
export interface Delta { id: number, part?: number, type?: 'reasoning', offset: number, text: string }
export interface StreamEvent { event: string, id: string | undefined, data: Shown & Delta }

export async function listen ({ app }: Pick<App, 'app'>) {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

/** The messages that a front end shows, updated by events and deltas. It is kept when a client reconnects. */
export function createScreen (t: Test) {
  const shown = new Map<number, Shown>()
  const changes = new EventEmitter().setMaxListeners(0)
  return {
    shown,
    text: (id: number) => shown.get(id)?.text,
    parts: (id: number) => shown.get(id)?.parts,
    status: (id: number) => shown.get(id)?.status,
    /** The highest rev of all messages. */
    rev: () => Math.max(0, ...[...shown.values()].map(({ rev }) => rev)),
    tell (message: Shown) {
      if (message.rev < (shown.get(message.id)?.rev ?? 0)) return
      shown.set(message.id, { ...message })
      changes.emit('change')
    },
    grow ({ id, part = 0, type, offset, text }: Delta) {
      const message = shown.get(id)
      const parts = growingPartsOf(message ?? { text: '' }).filter(({ text }) => text !== '')
      const { length } = parts[part]?.text ?? ''
      if (message === undefined || part > parts.length || offset !== length || !text.isWellFormed() || text === '') t.fail(`a delta of part ${part} at ${offset}, where ${length} are`)
      if (parts[part] !== undefined && parts[part].type !== (type ?? 'text')) t.fail(`a delta of type ${type} for a part of type ${parts[part].type}`)
      parts[part] = { type: type ?? 'text', text: (parts[part]?.text ?? '') + text }
      message!.text = parts.map(({ type, text }) => type === 'text' ? text : '').join('')
      if (parts.some(({ type }) => type === 'reasoning')) message!.parts = parts
      changes.emit('change')
    },
    /** Waits until the condition is true. */
    async until (isSo: () => unknown) {
      while (!isSo()) await once(changes, 'change')
    },
    changes
  }
}

export type Screen = ReturnType<typeof createScreen>

interface HowToRead { lastEventId?: number | undefined, body?: object, screen?: Screen }

/** Reads an event stream until it ends or `leave` is called, and shows its events on a screen. */
export async function openStream (t: Test, url: string, client: Who, { lastEventId, body, screen = createScreen(t) }: HowToRead = {}) {
  const { answer, leave } = await openAnswer(t, url, client, { lastEventId, body })
  answer.setEncoding('utf8')
  const stream = {
    answer,
    screen,
    events: [] as StreamEvent[],
    comments: 0,
    lastId: lastEventId,
    isOver: false,
    /** Resolves when the stream ends: true if it ended normally, false if the connection broke. */
    ended: Promise.resolve(false),
    hasLeft: false,
    leave () {
      stream.hasLeft = true
      leave()
    }
  }
  stream.ended = read().then(() => true, () => false).finally(() => {
    stream.isOver = true
    screen.changes.emit('change')
  })
  return stream

  async function read () {
    let unread = ''
    for await (const chunk of answer) {
      unread += chunk
      stream.comments += chunk.match(/^:/gm)?.length ?? 0
      screen.changes.emit('change')
      const blocks = unread.split('\n\n')
      unread = blocks.pop()!
      for (const block of blocks) if (!stream.hasLeft) take(block)
    }
  }

  function take (block: string) {
    const fields = Object.fromEntries(block.split('\n').map(line => line.split(/: ?(.*)/s)))
    if (!('data' in fields)) t.fail(`a block without data: ${block}`)
    const data = JSON.parse(fields.data)
    // A stream that answers a POST has no event ids. There a reader continues after the rev of the newest message.
    if (fields.event === 'message') stream.lastId = Math.max(stream.lastId ?? 0, data.rev)
    stream.events.push({ event: fields.event, id: fields.id, data })
    if (fields.event === 'message') screen.tell(data)
    else screen.grow(data)
  }
}

/** Opens an event stream without reading its body. */
export async function openAnswer (t: Test, url: string, client: Who, { lastEventId, body }: HowToRead = {}) {
  const headers = {
    ...client.headers,
    accept: 'text/event-stream',
    ...lastEventId !== undefined && { 'last-event-id': String(lastEventId) },
    ...body !== undefined && { 'content-type': 'application/json' }
  }
  const request = http.request(url, { method: body === undefined ? 'GET' : 'POST', headers })
  request.end(body && JSON.stringify(body))
  const leave = () => { request.destroy() }
  t.teardown(leave)
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  request.on('error', () => { /* the client has disconnected */ })
  return { answer, leave }
}

/** Opens a socket, and shows the events that it gets on a screen. */
export async function openSocket (t: Test, url: string, { headers }: Who, screen = createScreen(t)) {
  const socket = io(url, { forceNew: true, reconnection: false, auth: { token: headers['cookie']!.split('=')[1], stream: true }, transports: ['websocket'] })
  t.teardown(() => socket.close())
  const events: Array<{ event: string, data: Shown & Delta }> = []
  socket.on('new_message', data => { events.push({ event: 'message', data }); screen.tell(data) })
  socket.on('message_delta', data => { events.push({ event: 'delta', data }); screen.grow(data) })
  await once(socket as never, 'connect')
  return {
    socket,
    screen,
    events,
    ask: (event: string, data: object) => socket.emitWithAck(event, data),
    /** The messages in the acknowledgement are shown synchronously, because a delta for one of them can arrive directly after it. */
    join: async (conversation: number, after: number) => await new Promise<{ messages: Shown[], more: boolean }>(resolve => {
      socket.emit('join_chat', { chat_session_id: conversation, after }, (answer: { messages: Shown[], more: boolean }) => {
        for (const message of answer.messages) screen.tell(message)
        resolve(answer)
      })
    }),
    close: () => { socket.close() }
  }
}
