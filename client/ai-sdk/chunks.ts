import type { UIMessageChunk } from 'ai'
import type { Message, Part } from '../shapes.ts'

/**
 * Turns the states of a growing reply into the chunks of a UI message stream, version 1. Sends only what version 5 of the AI
 * SDK knows. The id of the message is the same as in the history. Each state gives the chunks that are new, and whether the reply has ended.
 * @see https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
 */
export function createChunks () {
  /** The growing parts so far, and as much of each as was sent. */
  const sent: Growing[] = []
  /** The part that is open, and its id in the stream. */
  let open: { part: Growing, id: string } | undefined
  let count = 0
  let isBegun = false

  return function chunksOf (message: Message): { chunks: UIMessageChunk[], hasEnded: boolean } {
    const { id, rev, username, created_at, status, failure, parts = [{ type: 'text', text: message.text }] } = message
    if (status === 'queued') return { chunks: [], hasEnded: false }
    const chunks: UIMessageChunk[] = []
    if (!isBegun) chunks.push({ type: 'start', messageId: `m${id}`, messageMetadata: { id, rev, username, created_at } }, { type: 'start-step' })
    isBegun = true

    let next = 0
    for (const { type, text } of parts.filter(isGrowing)) {
      if (text === '') continue
      const at = sent.findIndex((part, index) => index >= next && part.type === type && text.startsWith(part.text))
      if (at === -1 && next < sent.length && status === 'streaming') {
        // The reply was generated again, and chunks that were sent cannot be taken back.
        return { chunks: [...chunks, { type: 'error', errorText: 'The reply has begun again, please load the chat again' }], hasEnded: true }
      }
      // When a reply ends, a text may turn out to be reasoning, or the other way round. What does not continue a known part becomes a new one.
      next = at === -1 ? sent.length : at
      const part = sent[next++] ??= { type, text: '' }
      const delta = text.slice(part.text.length)
      part.text = text
      if (delta === '') continue
      if (open?.part !== part) {
        chunks.push(...endPart())
        open = { part, id: `p${count++}` }
        chunks.push({ type: `${type}-start`, id: open.id })
      }
      chunks.push({ type: `${type}-delta`, id: open.id, delta })
    }
    if (status === 'streaming') return { chunks, hasEnded: false }

    chunks.push(...endPart())
    for (const [index, part] of parts.entries()) if (!isGrowing(part)) chunks.push(...chunksOfPart(part, index))
    chunks.push({ type: 'finish-step' })
    const messageMetadata = { rev, status, ...failure !== undefined && { failure } }
    if (status === 'failed') chunks.push({ type: 'message-metadata', messageMetadata }, { type: 'error', errorText: `The reply could not be completed (${failure})` })
    else chunks.push({ type: 'finish', messageMetadata })
    return { chunks, hasEnded: true }
  }

  function endPart (): UIMessageChunk[] {
    if (open === undefined) return []
    const { part: { type }, id } = open
    open = undefined
    return [{ type: `${type}-end`, id }]
  }
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
