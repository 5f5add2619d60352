import { isUnderWay } from '../../conversations/live/endings.ts'
import type { Wire } from '../../conversations/live/streams.ts'
import { UNAVAILABLE } from '../../errors.ts'
import { FAILURES, type FailureCode } from '../../failures.ts'
import type { Delta } from '../../log/followers.ts'
import type { Message } from '../../log/message.ts'
import { growingPartsOf, type GrowingPart } from '../../text/message-parts.ts'
import { frontEndId } from '../exchanges/ids.ts'
import { thoughtId, type AgUiMessage } from './schema.ts'

interface Run {
  threadId: string
  runId: string
  /** The replies that the run sends, by their ids in the conversation. */
  replies: number[]
  /** The history, if the client is to replace its own messages by it. */
  history?: AgUiMessage[]
}

/** A reasoning part of a reply, with the text that was sent so far. */
interface Thought { type: 'reasoning', text: string, messageId: string }

/**
 * What was sent of a reply so far. `texts` counts the messages of its text. The last one may be open; `text` is its text so far.
 * `parts` are the reply's own, to which deltas refer, and `thinking` is the reasoning that is open.
 */
interface Told {
  id: number
  name: string | null
  texts: number
  isOpen: boolean
  text: string
  parts: Array<Thought | { type: 'text', text: string }>
  thoughts: number
  thinking: Thought | undefined
  isOver: boolean
}

/**
 * Writes the replies of one run as events of AG-UI. Each reply is a message of its own, and so is its reasoning; several may grow at
 * the same time. All other messages of the conversation are left out. Nothing may follow the end of a run, so a failed reply is
 * reported when all replies have ended.
 * @see https://docs.ag-ui.com/concepts/events
 */
export function createAgUiWire ({ threadId, runId, replies, history }: Run): Wire {
  const told = new Map(replies.map((id): [number, Told] => [id, { id, name: null, texts: 0, isOpen: false, text: '', parts: [], thoughts: 0, thinking: undefined, isOver: false }]))
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
      const shown = show(reply, message)
      return isUnderWay(message) ? shown : shown + end(reply, message)
    },
    delta ({ id, part = 0, type = 'text', offset, text }: Delta) {
      const reply = told.get(id)
      if (reply === undefined || reply.isOver) return ''
      const grown = reply.parts[part] ??= type === 'text' ? { type, text: '' } : createThought(reply)
      const piece = text.slice(Math.max(0, grown.text.length - offset))
      if (grown.type === 'reasoning') return think(reply, grown, piece)
      grown.text += piece
      return grow(reply, piece)
    },
    // Without an error, a run that ends early looks complete to the client.
    broken: event({ type: 'RUN_ERROR', message: 'The connection was closed before the reply had ended, please load the chat again', code: new UNAVAILABLE().code })
  }

  /**
   * Sends what a reply has more than what was sent. If the new text does not begin with the sent text, which cannot be taken back, the
   * new text becomes a message of its own; the same is true for reasoning. The text may end with other parts in words.
   */
  function show (reply: Told, { text, parts }: Message) {
    const closed = text.startsWith(reply.text) ? '' : close(reply)
    const known = reply.parts.filter(part => part.type === 'reasoning')
    let length = 0
    reply.parts = []
    const shown = growingPartsOf({ text, parts }).filter(part => part.text !== '').map((part: GrowingPart) => {
      if (part.type === 'text') {
        reply.parts.push({ type: 'text', text: part.text })
        length += part.text.length
        return grow(reply, text.slice(reply.text.length, length))
      }
      const at = known.findIndex(thought => part.text.startsWith(thought.text))
      const thought = at === -1 ? createThought(reply) : known.splice(0, at + 1).at(-1)!
      reply.parts.push(thought)
      return think(reply, thought, part.text.slice(thought.text.length))
    })
    return closed + shown.join('') + grow(reply, text.slice(reply.text.length))
  }

  function createThought (reply: Told): Thought {
    return { type: 'reasoning', text: '', messageId: thoughtId(reply.id, ++reply.thoughts) }
  }

  function think (reply: Told, thought: Thought, delta: string) {
    if (delta === '') return ''
    const { messageId } = thought
    const begun = reply.thinking === thought ? '' : endThought(reply) + event({ type: 'REASONING_START', messageId }) + event({ type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning' })
    reply.thinking = thought
    thought.text += delta
    return begun + event({ type: 'REASONING_MESSAGE_CONTENT', messageId, delta })
  }

  function endThought (reply: Told) {
    if (reply.thinking === undefined) return ''
    const { messageId } = reply.thinking
    reply.thinking = undefined
    return event({ type: 'REASONING_MESSAGE_END', messageId }) + event({ type: 'REASONING_END', messageId })
  }

  /** Sends a piece of text. A message begins with its first piece, so that a reply that fails before that leaves no empty message. */
  function grow (reply: Told, delta: string) {
    if (delta === '') return ''
    const begun = endThought(reply) + (reply.isOpen ? '' : open(reply))
    reply.text += delta
    return begun + event({ type: 'TEXT_MESSAGE_CONTENT', messageId: idOf(reply), delta })
  }

  function open (reply: Told) {
    reply.isOpen = true
    reply.texts++
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
    return endThought(reply) + close(reply) + (--left === 0 ? finish() : '')
  }

  function finish () {
    if (failure !== undefined) return event({ type: 'RUN_ERROR', message: FAILURES[failure], code: failure })
    return event({ type: 'RUN_FINISHED', threadId, runId, ...isCancelled && { outcome: { type: 'cancelled' } } })
  }
}

/** The first message of a reply has the same id as in the history. */
const idOf = ({ id, texts }: Told) => texts === 1 ? frontEndId(id) : `${frontEndId(id)}.${texts}`

const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`
