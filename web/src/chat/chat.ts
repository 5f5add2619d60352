import { api, ask, askForPage, newClientId, unreachable, isRefusal } from '../api/client.ts'
import type { Message } from '../api/shapes.ts'
import { acknowledged, type Delta, type LiveSocket } from '../api/live.ts'
import { words } from '../words.ts'
import type { Choice } from './parts.tsx'
import { EMPTY, withChanges, withDelta, withOlder, type Log } from '../../../client/log.ts'

/** A message that is being sent. Its client id stays the same on retries, so that it is stored once. */
export interface Outgoing {
  clientId: string
  text: string
  /** The answer that was chosen, if `text` is the title of one. */
  choice?: Choice | undefined
  at: string
  /** A waiting message is sent again when the connection is back, a refused one only when the user retries. */
  state: 'sending' | 'waiting' | 'refused'
  problem?: string
}

export interface ChatView extends Log {
  outgoing: Outgoing[]
  /** How many messages were sent from here. */
  sent: number
  /** Whether the newest messages have been loaded. */
  isOpen: boolean
  problem: string | undefined
}

export type Chat = ReturnType<typeof openChat>

/** How long to wait for an acknowledgement, and before catching up again after a failure, in milliseconds. */
const ACK_TIMEOUT_MS = 15_000
const RETRY_DELAY_MS = 1_000
const PAGE_SIZE = 50

/**
 * The live state of one conversation, for `useSyncExternalStore`. It loads the newest page, then fetches by `join_chat`
 * all changes after the highest `rev` that it has, and then receives new ones over the socket. After a lost connection it
 * catches up in the same way.
 */
export function openChat (id: number, socket: LiveSocket) {
  let view: ChatView = { ...EMPTY, outgoing: [], sent: 0, isOpen: false, problem: undefined }
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
    const { data, next } = await askForPage(api.GET('/api/conversations/{id}/messages', { params: { path, query: { limit: PAGE_SIZE } } }))
    const newest = { messages: data, rev: Math.max(0, ...data.map(({ rev }) => rev)), hasOlder: next !== undefined }
    // Messages that arrived meanwhile may be missing in the page that was loaded.
    show({ ...withChanges(newest, view.messages), isOpen: true, problem: undefined })
  }

  async function catchUp () {
    isJoined = false
    try {
      if (!view.isOpen) await readNewest()
      for (let more = true; more;) {
        if (isClosed) return
        const answer = acknowledged(await socket.timeout(ACK_TIMEOUT_MS).emitWithAck('join_chat', { chat_session_id: id, after: view.rev }))
        show({ ...withChanges(view, answer.messages), rev: Math.max(view.rev, answer.messages.at(-1)?.rev ?? 0), problem: undefined })
        more = answer.more
      }
      isJoined = true
    } catch (error) {
      // If the connection was lost, `onConnect` catches up when it is back.
      if (isRefusal(error) && error.code !== 'UNREACHABLE') show({ problem: error.message })
      else if (!view.isOpen) show({ problem: words.unreachable })
      else if (socket.connected && !isClosed) setTimeout(() => { if (!isClosed) catchUp() }, RETRY_DELAY_MS)
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
    // Before `join_chat` has finished, earlier changes may be missing, so `rev` must not move past them.
    show({ ...withChanges(view, [message]), rev: isJoined ? Math.max(view.rev, message.rev) : view.rev })
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

  /** Sends messages one after the other, so that they arrive in the order in which they were typed. */
  function deliver (message: Outgoing) {
    const change = (next: Partial<Outgoing> | undefined) => show({
      outgoing: view.outgoing.flatMap(other => other.clientId !== message.clientId ? [other] : next === undefined ? [] : [{ ...other, ...next }])
    })
    change({ state: 'sending' })
    sending = sending.then(async () => {
      try {
        if (!socket.connected) throw unreachable()
        const { text, choice, clientId } = message
        const sent = { chat_session_id: id, text, client_id: clientId, ...choice && { parts: [{ type: 'choice' as const, ...choice }] } }
        const { messages } = acknowledged(await socket.timeout(ACK_TIMEOUT_MS).emitWithAck('send_message', sent))
        takeIn(messages)
        change(undefined)
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

    send (text: string, choice?: Choice) {
      const message: Outgoing = { clientId: newClientId(), text, choice, at: new Date().toISOString(), state: 'sending' }
      show({ outgoing: [...view.outgoing, message], sent: view.sent + 1 })
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
        const { data, next } = await askForPage(api.GET('/api/conversations/{id}/messages', { params: { path, query: { limit: PAGE_SIZE, before } } }))
        show(withOlder(view, data, next !== undefined))
      } finally {
        isReadingOlder = false
      }
    },
    async edit (message: number, text: string) {
      takeIn([await ask(api.PUT('/api/conversations/{id}/messages/{message}', { params: { path: { id, message } }, body: { text } }))])
    },
    /** Deletes a message. That it is gone comes over the socket, as for everybody else. */
    async remove (message: number) {
      await ask(api.DELETE('/api/conversations/{id}/messages/{message}', { params: { path: { id, message } } }))
    },
    async stop () {
      await ask(api.POST('/api/conversations/{id}/stop', { params: { path } }))
    },
    /** Waits only until the request is accepted: the reply itself arrives over the socket. */
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
