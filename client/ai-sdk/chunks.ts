import type { UIMessageChunk } from 'ai'
import type { Message, Part } from '../shapes.ts'

/**
 * Turns the states of a growing reply into the chunks of a UI message stream, version 1. Sends only what version 5 of the AI
 * SDK knows. The id of the message is the same as in the history. Each state gives the chunks that are new, and whether the reply has ended.
 * @see https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
 */
export function createChunks () {
  /** How much of each growing part was sent, and whether its end was sent. */
  const sent: string[] = []
  let isBegun = false

  return function chunksOf (message: Message): { chunks: UIMessageChunk[], hasEnded: boolean } {
    const { id, rev, username, created_at, status, failure, parts = [{ type: 'text', text: message.text }] } = message
    if (status === 'queued') return { chunks: [], hasEnded: false }
    const chunks: UIMessageChunk[] = []
    if (!isBegun) chunks.push({ type: 'start', messageId: `m${id}`, messageMetadata: { id, rev, username, created_at } }, { type: 'start-step' })
    isBegun = true

    const growing = parts.filter(isGrowing)
    for (const [index, { type, text }] of growing.entries()) {
      const before = sent[index]
      const partId = `p${index}`
      if (before === undefined && text === '') continue
      if (before === undefined) {
        if (index > 0) chunks.push(endOf(growing[index - 1]!.type, `p${index - 1}`))
        chunks.push({ type: `${type}-start`, id: partId })
      }
      // The reply was generated again, and chunks that were sent cannot be taken back.
      if (!text.startsWith(before ?? '')) return { chunks: [...chunks, { type: 'error', errorText: 'The reply has begun again, please load the chat again' }], hasEnded: true }
      const delta = text.slice(before?.length ?? 0)
      if (delta !== '') chunks.push({ type: `${type}-delta`, id: partId, delta })
      sent[index] = text
    }
    if (status === 'streaming') return { chunks, hasEnded: false }

    const last = sent.length - 1
    if (last >= 0) chunks.push(endOf(growing[last]!.type, `p${last}`))
    for (const [index, part] of parts.entries()) if (!isGrowing(part)) chunks.push(...chunksOfPart(part, index))
    chunks.push({ type: 'finish-step' })
    const messageMetadata = { rev, status, ...failure !== undefined && { failure } }
    if (status === 'failed') chunks.push({ type: 'message-metadata', messageMetadata }, { type: 'error', errorText: `The reply could not be completed (${failure})` })
    else chunks.push({ type: 'finish', messageMetadata })
    return { chunks, hasEnded: true }
  }
}

function endOf (type: 'text' | 'reasoning', id: string): UIMessageChunk {
  return { type: `${type}-end`, id }
}

interface Growing { type: 'text' | 'reasoning', text: string }

const isGrowing = (part: Part): part is Part & Growing => part.type === 'text' || part.type === 'reasoning'

/** Parts of other types are left out. */
function chunksOfPart (part: Part, index: number): UIMessageChunk[] {
  if (part.type === 'source') return [{ type: 'source-url', sourceId: `s${index}`, url: part.url!, ...part.title !== undefined && { title: part.title } }]
  if (part.type === 'choices') return [{ type: 'data-choices', data: part.choices }]
  if (part.type === 'data') return [{ type: `data-${part.name}`, data: part.data }]
  return []
}
