import type { Replies } from '../../replies/replies.ts'
import type { Log } from '../../log/log.ts'
import type { MessageStore } from './store.ts'
import type { Message } from '../../log/message.ts'

export interface Amendment {
  author: number
  /** The author's own id for the message. */
  clientId: string
  /** The new text; undefined deletes the message. */
  text: string | undefined
  /** Whether the replies were delivered. If so, the bots are not asked again: a new reply would differ from the delivered one. */
  isAnswered: boolean
}

export type Amend = ReturnType<typeof createAmend>

const UNDER_WAY: Array<Message['status']> = ['streaming', 'queued']
const UNFINISHED: Array<Message['status']> = [...UNDER_WAY, 'interrupted', 'stopped']

/**
 * Deletes or edits a message by its author's client id, as channels ask for it. A reply in progress to a deleted message
 * is discarded. A reply to an edited message is asked for again, unless it was delivered. Does nothing when the message is
 * not in the log. Safe to repeat.
 */
export function createAmend (
  log: Pick<Log, 'recall'>, messages: Pick<MessageStore, 'edit' | 'remove'>, generation: Pick<Replies, 'stop' | 'askAgain'>
) {
  return async function amend ({ author, clientId, text, isAnswered }: Amendment): Promise<void> {
    const said = await log.recall(author, clientId)
    if (said === undefined) return
    const { conversation, messages: [question, ...replies] } = said
    const { id, status } = question!
    const isDeleted = status === 'deleted'
    if (text === undefined) {
      for (const reply of replies) if (UNFINISHED.includes(reply.status)) await messages.remove(author, conversation, reply.id)
      if (!isDeleted) await messages.remove(author, conversation, id)
      return
    }
    if (isDeleted) return
    if (question!.text !== text) await messages.edit(author, conversation, id, text)
    if (isAnswered) return
    if (replies.some(reply => UNDER_WAY.includes(reply.status))) await generation.stop(author, conversation)
    else await generation.askAgain(author, { conversation, id })
  }
}
