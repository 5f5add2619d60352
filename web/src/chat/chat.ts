import { api, ask, askForPage, newClientId, unreachable, isRefusal } from '../api/client.js'
import type { Message } from '../api/shapes.js'
import { acknowledged, type Delta, type LiveSocket } from '../api/live.js'
import { words } from '../words.js'
import { EMPTY, withChanges, withDelta, withOlder, type Log } from './log.js'

/** A message that is on its way. Its client id stays the same however often it is sent, so that it is stored once. */
export interface Outgoing {
  clientId: string
  text: string
  at: string
  /** One that waits is sent again when the connection is back; one that was refused only when somebody says so. */
  state: 'sending' | 'waiting' | 'refused'
  problem?: string
}

export interface ChatView extends Log {
  outgoing: Outgoing[]
  /** Whether its newest messages have been read. */
  isOpen: boolean
  problem: string | undefined
}

export type Chat = ReturnType<typeof openChat>

/** How long an answer may take over the socket, and how long until a question is asked again, in milliseconds. */
const PATIENCE = 15_000
const PAUSE = 1_000
const PAGE = 50

/**
 * One conversation as it is right now, for `useSyncExternalStore`. It reads the newest page, then by `join_chat` all
 * that changed after the highest `rev` it has, then follows live; after each lost connection it catches up the same way.
 */
export function openChat (id: number, socket: LiveSocket, changed: () => void) {
  let view: ChatView = { ...EMPTY, outgoing: [], isOpen: false, problem: undefined }
  let isJoined = false
  let isClosed = false
  let isReadingOlder = false
  let sending: Promise<unknown> = Promise.resolve()
  const listeners = new Set<() => void>()

  const path = { id }
  const show = (next: Partial<ChatView>) => {
    view = { ...view, ...next }
    for (const tell of listeners) tell()
  }
  const takeIn = (messages: Message[]) => show(withChanges(view, messages))

  async function readNewest () {
    const { data, next } = await askForPage(api.GET('/api/conversations/{id}/messages', { params: { path, query: { limit: PAGE } } }))
    const newest = { messages: data, rev: Math.max(0, ...data.map(({ rev }) => rev)), hasOlder: next !== undefined }
    // What was sent meanwhile is there already, and need not be in what was read.
    show({ ...withChanges(newest, view.messages), isOpen: true, problem: undefined })
  }

  async function catchUp () {
    isJoined = false
    try {
      if (!view.isOpen) await readNewest()
      for (let more = true; more;) {
        if (isClosed) return
        const answer = acknowledged(await socket.timeout(PATIENCE).emitWithAck('join_chat', { chat_session_id: id, after: view.rev }))
        show({ ...withChanges(view, answer.messages), rev: Math.max(view.rev, answer.messages.at(-1)?.rev ?? 0), problem: undefined })
        more = answer.more
      }
      isJoined = true
    } catch (error) {
      // Where it is the connection that was lost, it is caught up when that is back.
      if (isRefusal(error) && error.code !== 'UNREACHABLE') show({ problem: error.message })
      else if (!view.isOpen) show({ problem: words.unreachable })
      else if (socket.connected && !isClosed) setTimeout(() => { if (!isClosed) catchUp() }, PAUSE)
    }
  }

  const onConnect = () => {
    for (const message of view.outgoing) if (message.state === 'waiting') deliver(message)
    catchUp()
  }
  const onDisconnect = () => {
    isJoined = false
    show({ outgoing: view.outgoing.map(message => message.state === 'sending' ? { ...message, state: 'waiting' } : message) })
  }
  const onMessage = (message: Message & { chat_session_id: number }) => {
    if (message.chat_session_id !== id) return
    // Until all before it has been read, it does not count as read up to here.
    show({ ...withChanges(view, [message]), rev: isJoined ? Math.max(view.rev, message.rev) : view.rev })
    if (message.status !== 'streaming' && message.status !== 'queued') changed()
  }
  const onDelta = (delta: Delta) => {
    if (delta.chat_session_id !== id) return
    const grown = withDelta(view, delta)
    if (grown !== undefined) show(grown)
    else if (isJoined) catchUp()
  }

  socket.on('connect', onConnect)
  socket.on('disconnect', onDisconnect)
  socket.on('new_message', onMessage)
  socket.on('message_delta', onDelta)
  if (socket.connected) catchUp()
  else readNewest().catch(error => show({ problem: error.message }))

  /** Sends one after the other, so that they arrive in the order in which they were typed. */
  function deliver (message: Outgoing) {
    const change = (next: Partial<Outgoing> | undefined) => show({
      outgoing: view.outgoing.flatMap(other => other.clientId !== message.clientId ? [other] : next === undefined ? [] : [{ ...other, ...next }])
    })
    change({ state: 'sending' })
    sending = sending.then(async () => {
      try {
        if (!socket.connected) throw unreachable()
        const sent = { chat_session_id: id, text: message.text, client_id: message.clientId }
        const { messages } = acknowledged(await socket.timeout(PATIENCE).emitWithAck('send_message', sent))
        takeIn(messages)
        change(undefined)
        changed()
      } catch (error) {
        change(isRefusal(error) && error.code !== 'UNREACHABLE' ? { state: 'refused', problem: error.message } : { state: 'waiting' })
      }
    })
  }

  return {
    subscribe (tell: () => void) {
      listeners.add(tell)
      return () => { listeners.delete(tell) }
    },
    read: () => view,
    retry: catchUp,

    send (text: string) {
      const message: Outgoing = { clientId: newClientId(), text, at: new Date().toISOString(), state: 'sending' }
      show({ outgoing: [...view.outgoing, message] })
      deliver(message)
    },
    sendAgain: deliver,
    discard ({ clientId }: Outgoing) {
      show({ outgoing: view.outgoing.filter(message => message.clientId !== clientId) })
    },

    async readOlder () {
      const before = view.messages[0]?.id
      if (!view.hasOlder || before === undefined || isReadingOlder) return
      isReadingOlder = true
      try {
        const { data, next } = await askForPage(api.GET('/api/conversations/{id}/messages', { params: { path, query: { limit: PAGE, before } } }))
        show(withOlder(view, data, next !== undefined))
      } finally {
        isReadingOlder = false
      }
    },
    async edit (message: number, text: string) {
      takeIn([await ask(api.PUT('/api/conversations/{id}/messages/{message}', { params: { path: { id, message } }, body: { text } }))])
    },
    async stop () {
      await ask(api.POST('/api/conversations/{id}/stop', { params: { path } }))
    },
    /** The reply comes live, as all do: of the answer only that it was accepted is waited for. */
    async regenerate (message: number) {
      const stream = await ask<ReadableStream | null | undefined>(api.POST('/api/conversations/{id}/messages/{message}/regenerate', {
        params: { path: { id, message } }, headers: { Accept: 'text/event-stream' }, parseAs: 'stream'
      }) as never)
      await stream?.cancel()
    },

    close () {
      isClosed = true
      socket.off('connect', onConnect).off('disconnect', onDisconnect).off('new_message', onMessage).off('message_delta', onDelta)
    }
  }
}
