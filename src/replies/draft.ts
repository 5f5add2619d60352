import { MAX_PARTS, wordsOf, type Addendum, type Part } from '../text/message-parts.ts'
import { cut, lengthOf, MAX_REPLY_LENGTH, takePiece, type Intake } from '../text/text.ts'
import type { Ending, Growth, MessageKey } from './store.ts'
import type { Cost, Meter } from './cost.ts'
import type { Task } from './task-store.ts'

/** A reply that this instance is writing. */
export interface Draft extends MessageKey, Intake {
  /** The owner of its lease: unique for each attempt, so that a late write of one attempt cannot reach the next. */
  owner: string
  /** The text so far. */
  text: string
  /** How much of the text is stored, in UTF-16 units for us and in code points for Postgres, and since when. */
  stored: { length: number, at: number, time: number }
  /** Whether the next flush includes it even if it has not grown. */
  isHurried: boolean
  /** Meters its cost; undefined until the bot is asked. */
  meter?: Meter | undefined
  abort: AbortController
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
  return { ...place, owner, ahead, text: '', points: 0, half: '', stored: { length: 0, at: 0, time: Date.now() }, isHurried: false, abort: new AbortController(), addenda: [], unsaid: [], from: 0 }
}

/**
 * Takes a piece in a form that Postgres can store and readers can show: whole characters, no NUL, and no more than there is
 * room for. Returns what was added to the reply.
 */
export function take (reply: Draft, piece: string): string {
  const whole = takePiece(reply, piece, MAX_REPLY_LENGTH)
  reply.text += whole
  return whole
}

/** Takes a part that follows the text. `isSaid`: the text says it in words. */
export function takePart ({ addenda, unsaid }: Draft, part: Addendum, isSaid: boolean) {
  if (addenda.length === MAX_PARTS) return
  addenda.push(part)
  if (!isSaid) unsaid.push(part)
}

/** Whether the bot sent more than the longest reply. */
export const isTooLong = ({ points }: Draft) => points > MAX_REPLY_LENGTH

/** The text that was added since the reply was last stored. */
export function growthOf ({ conversation, id, owner, text, stored: { length, at } }: Draft): Growth {
  return { conversation, id, owner, at, piece: text.slice(length) }
}

/**
 * Takes back the text so far. Readers keep seeing it until the reply ends, because deltas can only add text; the whole
 * message that they get at the end does not contain it.
 */
export function takeBack (reply: Draft) {
  reply.from = reply.text.length
  reply.half = ''
  reply.points = 0
}

/**
 * What to store when a reply ends: the text that is not stored yet, or all of it if something was taken back, and then in
 * words what it does not say of its parts; and the parts, if there are others than the text.
 */
export function lastOf (reply: Draft): Growth & Pick<Ending, 'parts'> {
  const growth = growthOf(reply)
  const last = reply.from === 0 ? growth : { ...growth, at: 0, piece: reply.text.slice(reply.from) }
  if (reply.addenda.length === 0) return { ...last, parts: null }
  const text = reply.text.slice(reply.from)
  const words = cut(wordsOf(reply.unsaid), Math.max(0, MAX_REPLY_LENGTH - reply.points))
  const parts: Part[] = [...text === '' ? [] : [{ type: 'text' as const, text }], ...reply.addenda]
  return { ...last, piece: last.piece + (text === '' || words === '' ? '' : '\n\n') + words, parts }
}

/** Marks the reply as stored up to `length` UTF-16 units, of which `piece` is new, with its costs. */
export function noteStored (reply: Draft, { piece, length, cost }: { piece: string, length: number, cost: Cost | null }) {
  reply.meter?.noteStored(cost)
  reply.stored = { length, at: reply.stored.at + lengthOf(piece), time: Date.now() }
}
