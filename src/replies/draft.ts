import type { Grown } from '../log/followers.ts'
import { MAX_GROWING_PARTS, MAX_PARTS, MAX_REASONING_LENGTH, wordsOf, type Addendum, type GrowingPart, type Part } from '../text/message-parts.ts'
import { cut, lengthOf, MAX_REPLY_LENGTH, takePiece, type Intake } from '../text/text.ts'
import type { Growth, MessageKey } from './store.ts'
import type { Cost, Meter } from './cost.ts'
import type { Task } from './task-store.ts'

/** A reply that this instance is writing. */
export interface Draft extends MessageKey, Intake {
  /** The owner of its lease: unique for each attempt, so that a late write of one attempt cannot reach the next. */
  owner: string
  /** The text so far. */
  text: string
  /** The text and the reasoning in their order; empty while there is only text. What stands before `from` was taken back. */
  parts: Array<GrowingPart & { from: number }>
  /** The reasoning so far, and its length in UTF-16 units. */
  thoughts: Intake & { length: number }
  /**
   * How much of the text and of the reasoning is stored, in UTF-16 units for us and in code points for Postgres. `time` is when it was
   * stored, by `performance.now()`: the system's clock may be set meanwhile.
   */
  stored: { length: number, thoughts: number, at: number, time: number }
  /** Whether the next flush includes it even if it has not grown. */
  isHurried: boolean
  /** Meters its cost; undefined until the bot is asked. */
  meter?: Meter | undefined
  abort: AbortController
  /** Whether its end is being stored. */
  isEnding: boolean
  /** What the bot gets, if it was read while the message was stored. */
  ahead: Promise<Task | undefined> | undefined
  /** Parts that follow the text, at most `MAX_PARTS`, and those of them that the text does not say yet. They are shown when the reply ends. */
  addenda: Addendum[]
  unsaid: Addendum[]
  /** Where the reply begins in the text, in UTF-16 units. Everything before was taken back. */
  from: number
}

/** Makes an empty draft. */
export function createDraft (place: MessageKey, owner: string, ahead?: Promise<Task | undefined>): Draft {
  return { ...place, owner, ahead, text: '', parts: [], thoughts: { points: 0, half: '', length: 0 }, points: 0, half: '', stored: { length: 0, thoughts: 0, at: 0, time: performance.now() }, isHurried: false, abort: new AbortController(), isEnding: false, addenda: [], unsaid: [], from: 0 }
}

/**
 * Takes a piece in a form that Postgres can store and readers can show: whole characters, no NUL, and no more than there is
 * room for. Returns what was added to the reply; undefined if nothing was. A part is never empty, because readers who begin
 * in the middle count only parts that they can see.
 */
export function take (reply: Draft, piece: string): Grown | undefined {
  const whole = takePiece(reply, piece, MAX_REPLY_LENGTH)
  if (whole === '') return undefined
  reply.text += whole
  return reply.parts.length === 0 ? { part: 0, type: 'text', text: reply.text, piece: whole, before: 0 } : grow(reply, 'text', whole)
}

/**
 * The same for a piece of reasoning. White space at its beginning, and what there is no room for, is left out. So is reasoning that
 * would begin a part beyond MAX_GROWING_PARTS; the text after it continues the last text.
 */
export function think (reply: Draft, piece: string): Grown | undefined {
  const { parts, thoughts } = reply
  const isNew = parts.at(-1)?.type !== 'reasoning'
  if (isNew && parts.length >= MAX_GROWING_PARTS) return undefined
  if (isNew) thoughts.half = ''
  const whole = takePiece(thoughts, isNew ? piece.replaceAll('\0', '').trimStart() : piece, MAX_REASONING_LENGTH)
  if (whole === '') return undefined
  thoughts.length += whole.length
  if (parts.length === 0 && reply.text !== '') parts.push({ type: 'text', text: reply.text, from: reply.from })
  return grow(reply, 'reasoning', whole)
}

function grow ({ parts }: Draft, type: GrowingPart['type'], piece: string): Grown {
  if (parts.at(-1)?.type !== type) parts.push({ type, text: '', from: 0 })
  const last = parts.at(-1)!
  last.text += piece
  return { part: parts.length - 1, type, text: last.text, piece, before: parts.at(-2)?.text.length ?? 0 }
}

/** Takes a part that follows the text. `isSaid`: the text says it in words. */
export function takePart ({ addenda, unsaid }: Draft, part: Addendum, isSaid: boolean) {
  if (addenda.length === MAX_PARTS) return
  addenda.push(part)
  if (!isSaid) unsaid.push(part)
}

/** Whether the bot sent more than the longest reply. */
export const isTooLong = ({ points }: Draft) => points > MAX_REPLY_LENGTH

/** Whether something was added since the reply was last stored. */
export const hasGrown = ({ text, thoughts, stored }: Draft) => text.length > stored.length || thoughts.length > stored.thoughts

/** The text that was added since the reply was last stored, and all parts if there are any. */
export function growthOf (reply: Draft): Growth {
  const { conversation, id, owner, text, parts, stored: { length, at } } = reply
  return { conversation, id, owner, at, piece: text.slice(length), parts: parts.length > 0 && hasGrown(reply) ? parts.map(({ type, text }) => ({ type, text })) : null }
}

/** Takes back the reasoning so far: it was the text, which follows. Readers keep seeing it until the reply ends. */
export function takeBackThoughts (reply: Draft) {
  takeBackParts(reply, 'reasoning')
  reply.thoughts.points = 0
}

function takeBackParts ({ parts }: Draft, type: GrowingPart['type']) {
  for (const part of parts) if (part.type === type) part.from = part.text.length
}

/**
 * Takes back the text so far. Readers keep seeing it until the reply ends, because deltas can only add text; the whole
 * message that they get at the end does not contain it.
 */
export function takeBack (reply: Draft) {
  takeBackParts(reply, 'text')
  reply.from = reply.text.length
  reply.half = ''
  reply.points = 0
}

/**
 * What to store when a reply ends: the text that is not stored yet, or all of it if something was taken back, and then in
 * words what it does not say of its parts; and the parts, if there are others than the text.
 */
export function lastOf (reply: Draft): Growth {
  const growth = growthOf(reply)
  const last = reply.from === 0 ? growth : { ...growth, at: 0, piece: reply.text.slice(reply.from) }
  const text = reply.text.slice(reply.from)
  const grown = reply.parts.length === 0 ? [{ type: 'text' as const, text: reply.text, from: reply.from }] : reply.parts
  const parts: Part[] = grown.filter(({ text, from }) => from < text.length).map(({ type, text, from }) => ({ type, text: text.slice(from) }))
  if (reply.addenda.length === 0 && parts.every(({ type }) => type === 'text')) return { ...last, parts: null }
  // A blank text beside the parts says nothing of them.
  const words = text === '' ? wordsOf(reply.addenda) : `\n\n${wordsOf(reply.unsaid)}`
  return { ...last, piece: last.piece + cut(words, Math.max(0, MAX_REPLY_LENGTH - reply.points)).trimEnd(), parts: [...parts, ...reply.addenda] }
}

/** Marks the reply as stored up to `length` UTF-16 units of text, of which `piece` is new, and `thoughts` of reasoning, with its costs. */
export function noteStored (reply: Draft, { piece, length, thoughts, cost }: { piece: string, length: number, thoughts: number, cost: Cost | null }) {
  reply.meter?.noteStored(cost)
  reply.stored = { length, thoughts, at: reply.stored.at + lengthOf(piece), time: performance.now() }
}
