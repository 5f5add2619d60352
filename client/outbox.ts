import { isPassing, isSignedOut, ParleyError } from './errors.ts'
import type { Waker } from './waiting.ts'
import { delayAfter } from './waiting.ts'
import type { Message, NewMessage } from './shapes.ts'

/**
 * A message that the server does not have yet, as far as we know. Its client id stays the same however often it is sent, so
 * that it is stored once.
 */
export interface Unsent extends NewMessage {
  clientId: string
  createdAt: string
  /** A waiting message is sent again by itself, a refused one by `resend` only. */
  status: 'sending' | 'waiting' | 'refused'
  /** Why it waits or was refused. */
  error?: ParleyError | undefined
}

interface OutboxOptions {
  waker: Waker
  /** Sends a message, and resolves when it is stored. @throws ParleyError */
  post: (message: Unsent, signal: AbortSignal) => Promise<Message>
  /** Makes sure that a message would be sent as its author. `isNew`: it was written just now. @throws ParleyError */
  checkAuthor: (isNew: boolean, signal: AbortSignal) => Promise<void>
  /** Messages that an earlier page left unsent. They are sent after `resume`, or before the first message that is sent here. */
  kept: Unsent[]
  changed: (unsent: Unsent[]) => void
}

/**
 * Sends messages one after the other, so that they arrive in the order in which they were written. Each is kept and retried until
 * it is stored, refused or discarded.
 */
export function createOutbox ({ waker, post, checkAuthor, kept, changed }: OutboxOptions) {
  let unsent = kept
  let hasResumed = false
  const discards = new Map<string, AbortController>()
  let sending: Promise<unknown> = Promise.resolve()

  function keep (next: Unsent[]) {
    unsent = next
    changed(unsent)
  }

  function change (clientId: string, changes: Partial<Unsent>) {
    keep(unsent.map(message => message.clientId === clientId ? { ...message, ...changes } : message))
  }

  function remove (clientId: string) {
    keep(unsent.filter(message => message.clientId !== clientId))
    discards.delete(clientId)
  }

  function enqueue (message: Unsent, { isNew = false } = {}): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>()
    const discard = new AbortController()
    discard.signal.addEventListener('abort', () => reject(discarded()))
    discards.set(message.clientId, discard)
    sending = sending.then(() => deliver(message, isNew, discard.signal)).then(resolve, reject)
    promise.catch(() => { /* `unsent` shows the error, too */ })
    return promise
  }

  async function deliver (message: Unsent, isNew: boolean, signal: AbortSignal): Promise<Message> {
    const { clientId } = message
    // It may have waited behind another message.
    isNew &&= unsent.some(other => other.clientId === clientId && other.status === 'sending')
    for (let failures = 0; !signal.aborted; isNew = false) {
      change(clientId, { status: 'sending', error: undefined })
      try {
        await checkAuthor(isNew, signal)
        const stored = await post(message, signal)
        remove(clientId)
        return stored
      } catch (caught) {
        const error = caught as ParleyError
        const isOut = isSignedOut(error)
        if (!isOut && !isPassing(error)) {
          change(clientId, { status: 'refused', error })
          throw error
        }
        // Messages are sent in order, so the later ones wait too.
        keep(unsent.map(other => other.status === 'sending' ? { ...other, status: 'waiting', error } : other))
        await waker.wait(isOut ? Infinity : delayAfter(failures++, error.retryAfter), signal)
      }
    }
    throw discarded()
  }

  /** Begins to send what an earlier page left, unless it was refused there. */
  function resume () {
    if (hasResumed) return
    hasResumed = true
    for (const message of unsent) if (message.status !== 'refused') enqueue(message)
  }

  return {
    resume,

    /** Resolves when the message is stored. Until then it is among the unsent ones. @throws ParleyError when it is refused */
    send (message: NewMessage & { clientId?: string | undefined }): Promise<Message> {
      resume()
      const { error } = unsent.find(({ status }) => status === 'waiting') ?? {}
      const status = error === undefined ? 'sending' : 'waiting'
      const kept: Unsent = { ...message, clientId: message.clientId ?? newClientId(), createdAt: new Date().toISOString(), status, error }
      keep([...unsent, kept])
      return enqueue(kept, { isNew: error === undefined })
    },

    /** Sends a refused message again. */
    resend ({ clientId }: Pick<Unsent, 'clientId'>): Promise<Message> {
      resume()
      const message = unsent.find(message => message.clientId === clientId)
      if (message?.status !== 'refused') return Promise.reject(discarded())
      change(clientId, { status: 'sending', error: undefined })
      return enqueue(message)
    },

    /** Removes a message from `unsent`. If it was being sent, the server may have stored it. */
    discard ({ clientId }: Pick<Unsent, 'clientId'>) {
      discards.get(clientId)?.abort()
      remove(clientId)
    },

    discardAll () {
      for (const { clientId } of unsent) this.discard({ clientId })
    }
  }
}

function discarded () {
  return new ParleyError({ code: 'DISCARDED', error: 'This message was discarded' })
}

/** A random id for a message. `crypto.randomUUID` exists on https pages only. */
export function newClientId () {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), part => part.toString(36)).join('-')
}
