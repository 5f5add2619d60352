import type { Wire } from '../../conversations/live/streams.ts'
import { FAILURES } from '../../failures.ts'
import type { Delta } from '../../log/followers.ts'
import type { Message } from '../../log/message.ts'
import { growingPartsOf, type GrowingPart } from '../../text/message-parts.ts'
import { frontEndId } from '../exchanges/ids.ts'
import { toUiPart } from './schema.ts'

/** Ends every stream. */
export const DONE = 'data: [DONE]\n\n'

export const UI_STREAM_HEADERS = { 'x-vercel-ai-ui-message-stream': 'v1' }

/**
 * Writes one reply as a UI message stream, version 1. Sends only chunks that version 5 of the AI SDK knows, because clients
 * fail at unknown ones. Leaves out all other messages, because a stream can have one message only.
 * @see https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
 */
export function createUiWire (reply: number): Wire {
  let isBegun = false
  /** The parts of the reply, by the indexes to which deltas refer, and as much of each as was sent. */
  let known: GrowingPart[] = []
  /** Number of parts in the stream so far, and the one that is open. */
  let count = 0
  let open: { part: GrowingPart, id: string } | undefined

  return {
    headers: UI_STREAM_HEADERS,
    message (message: Message) {
      if (message.id !== reply || message.status === 'queued') return ''
      return begin(message) + show(growingPartsOf(message)) + (message.status === 'streaming' ? '' : finish(message))
    },
    delta ({ id, part = 0, type = 'text', offset, text }: Delta) {
      if (id !== reply || !isBegun) return ''
      const grown = known[part] ??= { type, text: '' }
      return grow(grown, text.slice(Math.max(0, grown.text.length - offset)))
    },
    // Without an error, a stream that ends early looks complete to the client.
    broken: chunk({ type: 'error', errorText: 'The connection was closed before the reply had ended, please load the chat again' }) + DONE
  }

  function begin ({ id, rev, username, created_at }: Message) {
    if (isBegun) return ''
    isBegun = true
    return chunk({ type: 'start', messageId: frontEndId(id), messageMetadata: { id, rev, username, created_at } }) + chunk({ type: 'start-step' })
  }

  /**
   * What was sent cannot be taken back. A text that does not continue a known part becomes a part of its own: at the end of a reply
   * whose parts turned out to be others, and in a reply that is generated again.
   */
  function show (parts: GrowingPart[]) {
    const before = known
    known = []
    return parts.filter(({ text }) => text !== '').map(({ type, text }) => {
      const at = before.findIndex(part => part.type === type && text.startsWith(part.text))
      const part = at === -1 ? { type, text: '' } : before.splice(0, at + 1).at(-1)!
      known.push(part)
      return grow(part, text.slice(part.text.length))
    }).join('')
  }

  function grow (part: GrowingPart, piece: string) {
    if (piece === '') return ''
    part.text += piece
    const { type } = part
    const ended = open?.part === part ? '' : endPart()
    if (open !== undefined) return chunk({ type: `${type}-delta`, id: open.id, delta: piece })
    open = { part, id: `${type[0]}${++count}` }
    return ended + chunk({ type: `${type}-start`, id: open.id }) + chunk({ type: `${type}-delta`, id: open.id, delta: piece })
  }

  function endPart () {
    if (open === undefined) return ''
    const { part: { type }, id } = open
    open = undefined
    return chunk({ type: `${type}-end`, id })
  }

  function finish ({ rev, status, failure, parts = [] }: Message) {
    const messageMetadata = { rev, status, ...failure !== undefined && { failure } }
    const others = parts.filter(({ type }) => type !== 'text' && type !== 'reasoning').map(part => chunk(toUiPart(part, parts.indexOf(part))))
    const ended = endPart() + others.join('') + chunk({ type: 'finish-step' })
    if (status === 'complete') return ended + chunk({ type: 'finish', finishReason: 'stop', messageMetadata }) + DONE
    if (status === 'failed') return ended + chunk({ type: 'message-metadata', messageMetadata }) + chunk({ type: 'error', errorText: FAILURES[failure!] }) + DONE
    return ended + chunk({ type: 'abort', reason: status }) + chunk({ type: 'finish', finishReason: 'other', messageMetadata }) + DONE
  }
}

const chunk = (data: object) => `data: ${JSON.stringify(data)}\n\n`
