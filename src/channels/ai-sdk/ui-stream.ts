import type { Wire } from '../../conversations/live/streams.ts'
import { FAILURES } from '../../failures.ts'
import type { Delta } from '../../log/followers.ts'
import type { Message } from '../../log/message.ts'
import { frontEndId } from '../exchanges/ids.ts'

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
  /** Number of text parts so far, and whether the last one is open. */
  let parts = 0
  let isOpen = false
  /** The text of the open part. */
  let said = ''

  return {
    headers: UI_STREAM_HEADERS,
    message (message: Message) {
      if (message.id !== reply || message.status === 'queued') return ''
      return begin(message) + show(message.text) + (message.status === 'streaming' ? '' : finish(message))
    },
    delta: ({ id, offset, text }: Delta) => id === reply && isBegun ? grow(text.slice(said.length - offset)) : '',
    // Without an error, a stream that ends early looks complete to the client.
    broken: chunk({ type: 'error', errorText: 'The connection was closed before the reply had ended, please load the chat again' }) + DONE
  }

  function begin ({ id, rev, username, created_at }: Message) {
    if (isBegun) return ''
    isBegun = true
    return chunk({ type: 'start', messageId: frontEndId(id), messageMetadata: { id, rev, username, created_at } }) + chunk({ type: 'start-step' })
  }

  /** Text that was sent cannot be taken back. A text that does not begin with it gets a part of its own. */
  function show (text: string) {
    if (text.startsWith(said)) return grow(text.slice(said.length))
    const ended = endPart()
    return ended + grow(text)
  }

  function grow (piece: string) {
    if (piece === '') return ''
    const begun = isOpen ? '' : chunk({ type: 'text-start', id: `t${++parts}` })
    isOpen = true
    said += piece
    return begun + chunk({ type: 'text-delta', id: `t${parts}`, delta: piece })
  }

  function endPart () {
    if (!isOpen) return ''
    isOpen = false
    said = ''
    return chunk({ type: 'text-end', id: `t${parts}` })
  }

  function finish ({ rev, status, failure }: Message) {
    const messageMetadata = { rev, status, ...failure !== undefined && { failure } }
    const ended = endPart() + chunk({ type: 'finish-step' })
    if (status === 'complete') return ended + chunk({ type: 'finish', finishReason: 'stop', messageMetadata }) + DONE
    if (status === 'failed') return ended + chunk({ type: 'message-metadata', messageMetadata }) + chunk({ type: 'error', errorText: FAILURES[failure!] }) + DONE
    return ended + chunk({ type: 'abort', reason: status }) + chunk({ type: 'finish', finishReason: 'other', messageMetadata }) + DONE
  }
}

const chunk = (data: object) => `data: ${JSON.stringify(data)}\n\n`
