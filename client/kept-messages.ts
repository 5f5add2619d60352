import { ParleyError } from './errors.ts'
import type { Unsent } from './outbox.ts'

// Unsent messages in a storage of the browser: if the page is reloaded before the server has stored them, the next page sends them.

/** The part of the Web Storage API that is used. `sessionStorage` has it. */
export type MessageStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

/** What is kept of one conversation. */
export interface Kept {
  unsent: Unsent[]
  /** The message that is being sent, and the id of the newest message when it was sent first. */
  sending?: { clientId: string, after: number } | undefined
}

/** An error is stored as the arguments of its constructor. Only a refused message needs it, since the others are tried again. */
type Stored = Omit<Unsent, 'error'> & { refusal?: ConstructorParameters<typeof ParleyError> }

interface Content { user?: number | undefined, conversations: Record<string, { unsent: Stored[], sending?: Kept['sending'] }> }

const KEY = 'parley unsent'

export type KeptMessages = ReturnType<typeof createKeptMessages>

/** Keeps the unsent messages of one user. Without a storage, or if it is full or blocked, they are in memory only. */
export function createKeptMessages (storage: MessageStorage | undefined) {
  const content = attempt(() => JSON.parse(storage?.getItem(KEY) ?? 'null') as Content | null) ?? { conversations: {} }

  function save () {
    attempt(() => {
      if (Object.keys(content.conversations).length === 0) storage?.removeItem(KEY)
      else storage?.setItem(KEY, JSON.stringify(content))
    })
  }

  return {
    /** The user who wrote the messages, if known. */
    get user () { return content.user },

    set user (id: number | undefined) {
      content.user = id
      save()
    },

    /** The conversations that have unsent messages. */
    get conversations () { return Object.keys(content.conversations).map(Number) },

    read (conversation: number): Kept {
      const { unsent = [], sending } = content.conversations[conversation] ?? {}
      return { sending, unsent: unsent.map(({ refusal, ...message }) => ({ ...message, ...refusal !== undefined && { error: new ParleyError(...refusal) } })) }
    },

    write (conversation: number, { unsent, sending }: Kept) {
      if (unsent.length === 0) delete content.conversations[conversation]
      else content.conversations[conversation] = { sending, unsent: unsent.map(toStored) }
      save()
    },

    /** Forgets the messages of all conversations, those included that have not been opened since the page was loaded. */
    clear () {
      content.conversations = {}
      save()
    }
  }
}

function toStored ({ error, ...message }: Unsent): Stored {
  if (message.status !== 'refused' || error === undefined) return { ...message, status: 'sending' }
  const { code, message: sentence, details, status } = error
  return { ...message, refusal: [{ code, error: sentence, details }, { status }] }
}

function attempt<T> (work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
