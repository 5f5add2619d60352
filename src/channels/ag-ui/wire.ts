import { isUnderWay } from '../../conversations/live/endings.ts'
import type { Wire } from '../../conversations/live/streams.ts'
import { UNAVAILABLE } from '../../errors.ts'
import { FAILURES, type FailureCode } from '../../failures.ts'
import type { Delta } from '../../log/followers.ts'
import type { Message } from '../../log/message.ts'
import { frontEndId } from '../exchanges/ids.ts'
import type { AgUiMessage } from './schema.ts'

interface Run {
  threadId: string
  runId: string
  /** The replies that the run sends, by their ids in the conversation. */
  replies: number[]
  /** What was said before, if the client is to replace its own messages by it. */
  history?: AgUiMessage[]
}

/** A reply as far as it was sent. `parts` counts its messages in AG-UI. The last one is open, and has this text so far. */
interface Told { id: number, name: string | null, parts: number, isOpen: boolean, text: string, isOver: boolean }

/**
 * Writes the replies of one run as events of AG-UI, each reply as a message of its own. Several of them may grow at the same time.
 * All other messages of the conversation are left out. Nothing may follow the end of a run, so a failure is told when all replies
 * have ended.
 * @see https://docs.ag-ui.com/concepts/events
 */
export function createAgUiWire ({ threadId, runId, replies, history }: Run): Wire {
  const told = new Map(replies.map((id): [number, Told] => [id, { id, name: null, parts: 0, isOpen: false, text: '', isOver: false }]))
  let left = replies.length
  let failure: FailureCode | undefined
  let isCancelled = false
  const snapshot = history === undefined ? '' : event({ type: 'MESSAGES_SNAPSHOT', messages: history })

  return {
    headers: {},
    begin: event({ type: 'RUN_STARTED', threadId, runId, protocolVersion: '1.0' }) + snapshot + (left === 0 ? finish() : ''),
    message (message: Message) {
      const reply = told.get(message.id)
      if (reply === undefined || reply.isOver) return ''
      reply.name = message.username
      const shown = show(reply, message.text)
      return isUnderWay(message) ? shown : shown + end(reply, message)
    },
    delta ({ id, offset, text }: Delta) {
      const reply = told.get(id)
      return reply === undefined || reply.isOver ? '' : grow(reply, text.slice(reply.text.length - offset))
    },
    // Without an error, a run that ends early looks complete to the client.
    broken: event({ type: 'RUN_ERROR', message: 'The connection was closed before the reply had ended, please load the chat again', code: new UNAVAILABLE().code })
  }

  /** Text that was sent cannot be taken back. A text that does not begin with it gets a message of its own. */
  function show (reply: Told, text: string) {
    if (text.startsWith(reply.text)) return grow(reply, text.slice(reply.text.length))
    return close(reply) + grow(reply, text)
  }

  /** A message begins with its first piece of text, so that a reply that fails before leaves no empty message behind. */
  function grow (reply: Told, delta: string) {
    if (delta === '') return ''
    const begun = reply.isOpen ? '' : open(reply)
    reply.text += delta
    return begun + event({ type: 'TEXT_MESSAGE_CONTENT', messageId: idOf(reply), delta })
  }

  function open (reply: Told) {
    reply.isOpen = true
    reply.parts++
    return event({ type: 'TEXT_MESSAGE_START', messageId: idOf(reply), role: 'assistant', ...reply.name !== null && { name: reply.name } })
  }

  function close (reply: Told) {
    const isOpen = reply.isOpen
    reply.isOpen = false
    reply.text = ''
    return isOpen ? event({ type: 'TEXT_MESSAGE_END', messageId: idOf(reply) }) : ''
  }

  function end (reply: Told, { status, failure: code }: Message) {
    reply.isOver = true
    if (status === 'failed') failure ??= code
    else if (status !== 'complete') isCancelled = true
    return close(reply) + (--left === 0 ? finish() : '')
  }

  function finish () {
    if (failure !== undefined) return event({ type: 'RUN_ERROR', message: FAILURES[failure], code: failure })
    return event({ type: 'RUN_FINISHED', threadId, runId, ...isCancelled && { outcome: { type: 'cancelled' } } })
  }
}

/** The first message of a reply has the same id as in the history. */
const idOf = ({ id, parts }: Told) => parts === 1 ? frontEndId(id) : `${frontEndId(id)}.${parts}`

const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`
