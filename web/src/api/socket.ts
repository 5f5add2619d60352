import { ParleyError, type Listening, type ServerEvent } from 'parley'
import { io, type Socket } from 'socket.io-client'
import type { ClientToServer, ServerToClient, SocketError } from '../../../src/channels/socketio/events.ts'
import { API_URL } from './parley.ts'

// How the client listens on this page: over one socket for each tab. Event streams would be one connection each, and over
// HTTP/1.1 browsers open at most six to an origin, over all tabs. The fourth tab would wait forever.

/** The server's types, with strings in place of dates, as they arrive in JSON. */
type Wire<T> = T extends Date ? string
  : T extends (...args: infer Args) => infer Answer ? (...args: { [At in keyof Args]: Wire<Args[At]> }) => Answer
    : T extends object ? { [Name in keyof T]: Wire<T[Name]> } : T

type FromServer = Wire<ServerToClient>
type LiveMessage = Parameters<FromServer['new_message']>[0]
type LiveSocket = Socket<FromServer, Wire<ClientToServer>>

const ACK_TIMEOUT_MS = 15_000

/** The socket, while somebody listens. It does not reconnect by itself, since the client listens again when it is time. */
let open: { socket: LiveSocket, listeners: number, connecting?: Promise<void> | undefined } | undefined

/** Listens until the connection ends. @throws ParleyError if the server has refused it; another error if it cannot be reached */
export async function listen (listening: Listening) {
  const { signal } = listening
  signal.throwIfAborted()
  const shared = open ??= {
    socket: io(API_URL, { withCredentials: true, transports: ['websocket', 'polling'], tryAllTransports: true, reconnection: false, autoConnect: false }),
    listeners: 0
  }
  shared.listeners++
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const end = () => resolve()
  const over = new AbortController()
  let hearing: Promise<unknown> = Promise.resolve()
  const tell = (...events: ServerEvent[]) => {
    hearing = hearing.then(async () => { if (!over.signal.aborted && events.length > 0) await listening.hear(events) })
    hearing.catch(reject)
  }
  shared.socket.on('disconnect', end)
  signal.addEventListener('abort', end, { signal: over.signal })
  connected(shared).then(async () => { await join(shared.socket, listening, tell, end, over.signal) }).catch(reject)
  try {
    await promise
  } finally {
    over.abort()
    shared.socket.off('disconnect', end)
    if (--shared.listeners === 0) {
      open = undefined
      shared.socket.disconnect()
    }
  }
}

/** Connects, unless that is done or under way. */
async function connected (shared: NonNullable<typeof open>) {
  if (shared.socket.connected) return
  shared.connecting ??= connect(shared.socket).finally(() => { shared.connecting = undefined })
  await shared.connecting
}

async function connect (socket: LiveSocket) {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const done = () => resolve()
  const refuse = (error: Error & { data?: SocketError }) => reject(error.data === undefined ? error : refusal(error.data))
  const lose = () => reject(new Error('The connection was lost'))
  socket.on('connect', done).on('connect_error', refuse).on('disconnect', lose)
  socket.connect()
  await promise.finally(() => socket.off('connect', done).off('connect_error', refuse).off('disconnect', lose))
}

/** Asks for what was missed, and for what happens. Calls `end` when a conversation is gone. */
async function join (socket: LiveSocket, { opened, conversation, after }: Listening, tell: (...events: ServerEvent[]) => void, end: () => void, signal: AbortSignal) {
  signal.throwIfAborted()
  const asking = socket.timeout(ACK_TIMEOUT_MS)
  if (conversation === undefined) {
    on('news', ({ event, data, cursor }) => tell({ event, id: cursor, data }))
    const ready = acknowledged(await asking.emitWithAck('join_news', { after }))
    signal.throwIfAborted()
    opened()
    tell({ event: 'ready', id: ready.cursor, data: ready })
    return
  }

  // What happens before the last page has arrived is told after it.
  let early: ServerEvent[] | undefined = []
  const hear = (event: ServerEvent) => early === undefined ? tell(event) : early.push(event)
  on('new_message', message => { if (message.chat_session_id === conversation) hear({ ...eventOf(message), id: String(message.rev) }) })
  on('message_delta', ({ chat_session_id: id, ...delta }) => { if (id === conversation) hear({ event: 'delta', id: undefined, data: delta }) })
  // Of a conversation that is gone, a socket gets no more events, but the news of its user say so. Joining again is then refused.
  on('news', ({ event, data }) => { if (event === 'gone' && data.id === conversation) end() })
  for (let rev: number = after, more = true; more;) {
    const answer: { messages: LiveMessage[], more: boolean } = acknowledged(await asking.emitWithAck('join_chat', { chat_session_id: conversation, after: rev }))
    signal.throwIfAborted()
    more = answer.more
    const last = answer.messages.at(-1)
    rev = last?.rev ?? rev
    // Replies that are being written come first, and may be newer than what follows them.
    tell(...answer.messages.map(message => ({ ...eventOf(message), id: message === last ? String(rev) : undefined })))
  }
  opened()
  tell(...early)
  early = undefined

  function on<Event extends keyof FromServer> (event: Event, hear: FromServer[Event]) {
    socket.on(event, hear as never)
    signal.addEventListener('abort', () => socket.off(event, hear as never))
  }
}

function eventOf ({ chat_session_id: _conversation, isLocal: _isLocal, ...data }: LiveMessage) {
  return { event: 'message', data }
}

/** Returns the content of an acknowledgement. @throws ParleyError */
function acknowledged<T extends object> (answer: T | SocketError): T {
  if ('code' in answer) throw refusal(answer)
  return answer
}

/** The two refusals that are final, with the HTTP code and status that the client knows. It retries after all others. */
const FINAL: Record<string, [code: string, status: number]> = {
  INVALID_TOKEN: ['UNAUTHORIZED', 401],
  CHAT_SESSION_NOT_FOUND: ['CONVERSATION_NOT_FOUND', 404]
}

function refusal ({ code, error }: SocketError) {
  const [name, status] = FINAL[code] ?? [code, 503]
  return new ParleyError({ code: name, error }, { status })
}
