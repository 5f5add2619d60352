import type { Growth, Place } from './generation-store.js'

/** How much a bot may say, in code points. */
const LONGEST = 100_000

/** A reply that this instance writes. */
export interface Writing extends Place {
  /** Whose name its lease bears: a new one for each time that a reply is begun, so that nothing late gets into the next. */
  owner: string
  /** What has come so far, its length in code points, and half a surrogate pair whose other half has not come yet. */
  text: string
  points: number
  half: string
  /** How much of it is stored, in UTF-16 units as we count and in code points as Postgres does, and since when. */
  stored: { length: number, at: number, time: number }
  /** Whether it is to be looked at with the next flush, come something or not. */
  isHurried: boolean
  abort: AbortController
}

/** A reply of which nothing has come yet. */
export function createWriting (place: Place, owner: string): Writing {
  return { ...place, owner, text: '', points: 0, half: '', stored: { length: 0, at: 0, time: Date.now() }, isHurried: false, abort: new AbortController() }
}

/**
 * Takes what came, as Postgres can store it and readers can show it: whole characters, no NUL, and no more than there is
 * room for. Gives by what the reply grew.
 */
export function take (reply: Writing, piece: string): string {
  const came = reply.half + piece.replaceAll('\0', '')
  reply.half = /[\ud800-\udbff]$/.exec(came)?.[0] ?? ''
  const points = [...came.slice(0, came.length - reply.half.length).toWellFormed()]
  const whole = points.slice(0, LONGEST - reply.points).join('')
  reply.text += whole
  reply.points += points.length
  return whole
}

/** Whether more came than there was room for. */
export const isTooLong = ({ points }: Writing) => points > LONGEST

/** What has come since the reply was stored last. */
export function growthOf ({ conversation, id, owner, text, stored: { length, at } }: Writing): Growth {
  return { conversation, id, owner, at, piece: text.slice(length) }
}

/** So much of the reply, in UTF-16 units, is stored now, of that this piece anew. */
export function noteStored (reply: Writing, { piece, length }: { piece: string, length: number }) {
  reply.stored = { length, at: reply.stored.at + [...piece].length, time: Date.now() }
}
