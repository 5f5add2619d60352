import { ParleyError, unreachable } from './errors.ts'
import type { ServerEvent } from './events.ts'
import type { Http } from './http.ts'
import type { KeptMessages } from './kept-messages.ts'
import { createLive, type LiveState } from './live.ts'
import { EMPTY, withChanges, withDelta, withOlder, type Log } from './log.ts'
import { createOutbox, type Unsent } from './outbox.ts'
import type { Delta, Message, NewMessage } from './shapes.ts'

const PAGE_SIZE = 50

export interface ConversationState extends LiveState {
  id: number
  /** The messages that are loaded, oldest first, without deleted ones. One that does not change stays the same object. */
  messages: Message[]
  /** Messages that are not stored yet, in the order in which they were sent. A message with a text is never in `unsent` and `messages` at the same time. */
  unsent: Unsent[]
  /** Whether the newest messages have been loaded. */
  isLoaded: boolean
  /** Whether the server has messages before the first one. `older()` loads them. */
  hasOlder: boolean
  /** Whether a bot is writing, or is about to. */
  isReplying: boolean
}

export type LiveConversation = ReturnType<typeof createConversation>

/**
 * A conversation: its newest messages, kept current while it has followers, and the calls that change it. It sends no request
 * before it is followed or used.
 */
export function createConversation (http: Http, id: number, keptMessages: KeptMessages, checkAuthor: (isNew: boolean, signal: AbortSignal) => Promise<void>) {
  const path = `/api/conversations/${id}`
  let closing = new AbortController()
  let log = EMPTY
  let older: Promise<void> | undefined
  /** Changes that arrived while a page of older messages was loading. The server may have read that page before they happened. */
  let changedMeanwhile: Message[] = []
  let readRev = 0
  /** Whether messages may be missing that were stored before those that are loaded were read. */
  let hasGap = false
  const kept = keptMessages.read(id)
  /** The message that is being sent, and the newest id before it. It may arrive as an event before the response that says that it is stored. */
  let { sending } = kept

  const live = createLive<ConversationState>({
    http,
    initial: { id, messages: [], unsent: [], isLoaded: false, hasOlder: false, isReplying: false, connection: 'closed', error: undefined },
    async begin (signal) {
      outbox.resume()
      if (!live.state.isLoaded || hasGap) await readNewest(signal)
      hasGap = false
      return { conversation: id, after: log.rev }
    },
    hear (events) {
      const { next, isWhole } = heard(events)
      const rev = Math.max(log.rev, ...events.map(({ id = 0 }) => Number(id)))
      show({ ...next, rev })
      if (!isWhole) throw new Error('A piece of a reply is missing')
    }
  })

  const outbox = createOutbox({
    waker: http.waker,
    post: (message, signal) => post(message, signal),
    checkAuthor,
    kept: kept.unsent,
    changed (unsent) {
      keptMessages.write(id, { unsent, sending })
      show(log, { unsent })
    }
  })
  if (kept.unsent.length > 0) show(log, { unsent: kept.unsent })

  function show (next: Log, changes: Partial<ConversationState> = {}) {
    log = next
    const sent = findSent(changes.unsent ?? live.state.unsent)
    const messages = log.messages.filter(message => message.status !== 'deleted' && message !== sent)
    live.set({ messages, hasOlder: log.hasOlder, isReplying: messages.some(isUnderWay), ...changes })
  }

  /** Finds the stored copy of the message that is being sent, by its text. It is hidden as long as the message is in `unsent`, so that it is not shown twice. */
  function findSent (unsent: Unsent[]) {
    const { text, status } = unsent.find(({ clientId }) => clientId === sending?.clientId) ?? {}
    if (text === undefined || status === 'refused') return undefined
    return log.messages.findLast(message => message.sender === 'user' && message.id > sending!.after && message.text === text.trim())
  }

  function heard (events: ServerEvent[]) {
    if (older !== undefined) changedMeanwhile.push(...events.filter(({ event }) => event === 'message').map(({ data }) => data as Message))
    return take(log, events)
  }

  async function readPage (query: object, signal?: AbortSignal) {
    const { data, next } = await http.call<Message[]>('GET', `${path}/messages`, { query: { limit: PAGE_SIZE, ...query }, signal })
    return { messages: data, hasOlder: next !== undefined }
  }

  async function readNewest (signal: AbortSignal) {
    const page = await readPage({}, signal)
    // The messages that are loaded stay. The events after their rev bring everything between them and this page.
    if (live.state.isLoaded) return show(withChanges(log, page.messages))
    const newest = { ...page, rev: Math.max(0, ...page.messages.map(({ rev }) => rev)) }
    // The page may lack messages that were sent or changed here while it was loading.
    show(withChanges(newest, log.messages), { isLoaded: true })
  }

  /**
   * Sends a request that is answered with a stream of the replies, and resolves to the first message for which `isIt` holds.
   * If the conversation is followed, the replies arrive there, and this stream is not needed any more. Otherwise it is read to
   * its end.
   */
  async function ask (url: string, body: object | undefined, headers: Record<string, string>, isIt: (message: Message) => boolean, signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<Message>()
    const leaving = new AbortController()
    let answer: Message | undefined
    function hear (events: ServerEvent[]) {
      show(heard(events).next)
      answer ??= events.map(({ data }) => data as Message).find(isIt)
      if (answer !== undefined) {
        resolve(answer)
        if (live.state.connection === 'live') leaving.abort()
      }
    }
    http.stream('POST', url, { body, headers, signal: AbortSignal.any([signal, leaving.signal]), hear }).then(() => {
      reject(unreachable('the stream ended early'))
      // Behind a proxy with HTTP/1.0, such as nginx by default, a connection that was lost looks like the end.
      if (live.state.isReplying) followReplies()
    }, error => {
      reject(error)
      if (answer !== undefined && !leaving.signal.aborted && !signal.aborted) followReplies()
    })
    return await promise
  }

  /** The connection was lost, but the bots continue to write. Follows the conversation until the replies have ended. */
  function followReplies () {
    // A reply may be missing of which not even the beginning has arrived. A connection that is live brings it.
    hasGap = live.state.connection !== 'live'
    const unfollow = live.follow(({ connection, isReplying }) => { if (connection === 'failed' || (!isReplying && !hasGap)) queueMicrotask(() => unfollow()) })
  }

  async function post ({ clientId, text, parts, metadata }: Unsent, signal: AbortSignal) {
    if (sending?.clientId !== clientId) {
      sending = { clientId, after: log.messages.at(-1)?.id ?? 0 }
      keptMessages.write(id, { unsent: live.state.unsent, sending })
    }
    return await ask(`${path}/messages`, { text, parts, metadata }, { 'idempotency-key': clientId }, ({ sender }) => sender === 'user', signal)
  }

  return {
    id,
    get state () { return live.state },
    follow: live.follow,

    /**
     * Sends a message, with retries until it is stored. Until then it is in `unsent`. Resolves to the stored message; replies
     * appear in `messages`. Without followers, the state is kept current until the replies have ended.
     * @throws ParleyError when the server refuses it; then it stays in `unsent`, for `resend` or `discard`
     */
    send: (message: string | NewMessage & { clientId?: string }): Promise<Message> => outbox.send(typeof message === 'string' ? { text: message } : message),
    resend: outbox.resend,
    discard: outbox.discard,

    /** Stops the replies that are being written. Their text so far stays. @throws ParleyError */
    async stop () {
      await http.call('POST', `${path}/stop`)
    },

    /** Generates a bot's reply again, in its place; by default the last one. Resolves when the new reply has begun. @throws ParleyError */
    async regenerate (message?: number): Promise<void> {
      // Without a connection, what is loaded may be old.
      message ??= lastReply((live.state.connection === 'live' ? live.state : await readPage({}, closing.signal)).messages)
      if (message === undefined) throw new ParleyError({ code: 'MESSAGE_NOT_FOUND', error: 'There is no reply to be generated again' })
      await ask(`${path}/messages/${message}/regenerate`, undefined, {}, ({ id }) => id === message, closing.signal)
    },

    /** Changes the text of one of the user's own messages. If the last reply answers it, that reply is generated again. @throws ParleyError */
    async edit (message: number, text: string): Promise<Message> {
      const { data } = await http.call<Message>('PUT', `${path}/messages/${message}`, { body: { text }, signal: closing.signal })
      show(withChanges(log, [data]))
      return data
    },

    /** Deletes a message: one of the user's own, or any message if the user owns the conversation. @throws ParleyError */
    async remove (message: number) {
      await http.call('DELETE', `${path}/messages/${message}`)
      show({ ...log, messages: log.messages.map(known => known.id === message ? { ...known, text: '', status: 'deleted' } : known) })
    },

    /** Loads the page before the first message. @throws ParleyError */
    async older () {
      if (!log.hasOlder) return
      older ??= readPage({ before: log.messages[0]!.id }, closing.signal)
        .then(({ messages, hasOlder }) => show(withChanges(withOlder(log, messages, hasOlder), changedMeanwhile)))
        .finally(() => {
          older = undefined
          changedMeanwhile = []
        })
      await older
    },

    /** Tells the server that the user has seen everything that is loaded. @throws ParleyError */
    async markRead () {
      const { rev } = log
      const before = readRev
      if (rev <= before) return
      readRev = rev
      await http.call('PUT', `${path}/read`, { body: { rev } }).catch(error => {
        if (readRev === rev) readRev = before
        throw error
      })
    },

    /** Sends what an earlier page left unsent. */
    resume: outbox.resume,

    /** Discards the loaded state and unsent messages. Followers stay, and for them the state is loaded again. */
    reset () {
      closing.abort()
      closing = new AbortController()
      outbox.discardAll()
      log = EMPTY
      readRev = 0
      live.reset()
    },

    /** Closes the connection, and discards unsent messages. */
    close () {
      closing.abort()
      outbox.discardAll()
      live.end()
    }
  }
}

const lastReply = (messages: Message[]) => messages.findLast(({ sender }) => sender === 'bot')?.id

const isUnderWay = ({ status }: Message) => status === 'streaming' || status === 'queued'

/** Applies events in their order. `isWhole` is false if the text before a piece of a reply is missing. */
function take (log: Log, events: ServerEvent[]) {
  let isWhole = true
  for (const { event, data } of events) {
    if (event === 'message') log = withChanges(log, [data as Message])
    if (event !== 'delta') continue
    const grown = withDelta(log, data as Delta)
    if (grown === undefined) isWhole = false
    else log = grown
  }
  return { next: log, isWhole }
}
