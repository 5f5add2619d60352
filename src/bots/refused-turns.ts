import type { Turn } from './bot.ts'
import { isMine, type History } from './history.ts'

/** How often a part of a history is asked with, at most, to find the turns of it that are refused. */
const MAX_TRIALS = 16

/**
 * Finds the turns of a history that a content filter refuses. A provider says only that there is one, so that the
 * history is asked with in parts: the question alone, then half of what is in doubt with it, until one turn is left.
 * That turn is left out, and the whole rest is asked with.
 */
export function createRefusedTurns (me: string) {
  const found: Turn[] = []
  /** The turns in the order in which they are tried. The first `accepted` are known to pass together, the first `refused` are not. */
  let order: Turn[] = []
  let accepted = 0
  let refused = 0
  let trials = 0
  /** How many turns the request has, if it is a part only. */
  let size: number | undefined

  /** The next part to ask with; undefined for the whole history without what was found. */
  function next (): void {
    trials++
    if (trials >= MAX_TRIALS) size = accepted
    else if (refused - accepted > 1) size = Math.floor((accepted + refused) / 2)
    else {
      found.push(order[accepted]!)
      size = undefined
    }
  }

  return {
    /** What is refused, as far as it was found. */
    found: found as readonly Turn[],

    /** Whether the request is only to find out, so that its answer is none. */
    get isTrial (): boolean { return size !== undefined && trials < MAX_TRIALS },

    /** The turns to ask with, of a history that was read without those that were found; undefined for all of it. */
    get part (): ReadonlySet<Turn> | undefined { return size === undefined ? undefined : new Set(order.slice(0, size)) },

    /** The request was refused, which had this history or a part of it. False when it is the question that is refused. */
    refuse (history: History): boolean {
      if (size === 1 || !history.isLonger) return false
      if (size === undefined) {
        order = orderOf(history, me)
        refused = order.length
      } else refused = size
      if (accepted === 0) {
        trials++
        size = 1
      } else next()
      return true
    },

    /** The trial was accepted. */
    accept () {
      accepted = size!
      next()
    },

    /** The history has become a shorter one: it begins anew, without what was found. */
    reset () {
      accepted = 0
      size = undefined
    }
  }
}

/**
 * The question, what others said to it, then the turns before it, the newest first, each of somebody else's before the
 * bot's answers to it, since these have no place in a history without it.
 */
function orderOf ({ turns, question }: History, me: string): Turn[] {
  const at = turns.indexOf(question!)
  const exchanges: Turn[][] = []
  for (const turn of turns.slice(0, at)) {
    if (isMine(turn, me) && exchanges.length > 0) exchanges.at(-1)!.push(turn)
    else exchanges.push([turn])
  }
  return [...turns.slice(at), ...exchanges.reverse().flat()]
}
