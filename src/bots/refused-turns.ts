import type { Turn } from './bot.ts'
import { isMine, type History } from './history.ts'

/** How many requests we make at most to find the turns that are refused. */
const MAX_TRIALS = 16

/**
 * Finds the turns of a history that a provider's content filter refuses. The provider does not say which turn it is, so
 * we search by bisection: first we send the question alone, then the question with half of the turns in doubt, until one
 * turn is left. Then the whole history is sent without that turn. If it is refused again, the search goes on for the next.
 */
export function createRefusedTurns (me: string) {
  const found: Turn[] = []
  /** The turns in the order in which they are tried. The first `accepted` of them pass together; the first `refused` do not. */
  let order: Turn[] = []
  let accepted = 0
  let refused = 0
  let trials = 0
  /** How many turns the next request has; undefined for all that were not found. */
  let size: number | undefined

  /** Chooses the size of the next request. */
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
    /** The turns found so far that are refused. */
    found: found as readonly Turn[],

    /** Whether the next request is only a step of the search, so that its answer is not shown. */
    get isTrial (): boolean { return size !== undefined && trials < MAX_TRIALS },

    /** The turns to send, of a history without those in `found`; undefined for all of them. */
    get part (): ReadonlySet<Turn> | undefined { return size === undefined ? undefined : new Set(order.slice(0, size)) },

    /** Call it when a request with this history, or a part of it, was refused. False when the question itself is refused. */
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

    /** Call it when a trial was accepted. */
    accept () {
      accepted = size!
      next()
    },

    /** Call it when the history has become shorter: the search starts again, and `found` stays. */
    reset () {
      accepted = 0
      size = undefined
    }
  }
}

/**
 * The order in which turns are tried: the question, the turns after it, then the turns before it, newest first. A user's
 * turn comes before the bot's answers to it, because these would be left out of a history without it.
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
