import { TOO_MANY_AT_ONCE } from '../errors.ts'

/** The maximum length of a user's queue is this times the number of the user's slots. */
const WAITING_PER_SLOT = 8

/**
 * A leaky bucket of work: FREE_MS is how many milliseconds of work a user may use in a burst, and FREED_PER_MS how many of
 * them become free again per millisecond. A page that loads stays far below the first; the second is the share of time
 * that a user gets who sends requests without a pause.
 */
const FREE_MS = 250
const FREED_PER_MS = 0.15

/** Upper limit of `workedMs`, so that a slot pauses for a second at most: a request can also take long because its client was slow. */
const MAX_WORKED_MS = FREE_MS + 1_000 * FREED_PER_MS

/** A request's place. The request may start when `ready` resolves, and must call `leave` when it ends, also if it failed. */
export interface Slot { ready: Promise<void>, leave: () => void }

interface QueueEntry { isPatient: boolean, begin: () => void, refuse: (error: Error) => void }

/** `workedMs` is how long the user's requests have taken in total, less what has become free again until the time `at`. */
interface User { working: number, waiting: QueueEntry[], workedMs: number, at: number }

/**
 * Processes at most `most` requests of one user at the same time, so that one user cannot use all database connections.
 * Further requests wait in a queue, first in, first out: a page that sends a dozen requests when it loads should not see errors.
 *
 * A user who always has expensive requests in the queue, such as for the largest pages, would still keep the event loop and
 * the database busy, and all other users would wait. So when a user has used up the free work, a slot pauses before it takes
 * the user's next request from the queue.
 */
export function createSlots (most: number, now = () => performance.now()) {
  const users = new Map<number, User>()

  return {
    /**
     * Takes a slot or a place in the queue. A request with `isPatient` may wait even if the queue is full: its caller limits
     * the number of such requests in another way.
     * @throws TOO_MANY_AT_ONCE when the queue is full
     */
    enter (userId: number, { isPatient = false } = {}): Slot {
      let begunAt = now()
      const user = users.get(userId) ?? { working: 0, waiting: [], workedMs: 0, at: begunAt }
      users.set(userId, user)
      if (user.working < most) {
        user.working++
        return { ready: Promise.resolve(), leave: once(leaveSlot) }
      }
      if (!isPatient && user.waiting.filter(({ isPatient }) => !isPatient).length >= most * WAITING_PER_SLOT) throw Object.assign(new TOO_MANY_AT_ONCE(), { retryAfter: 1 })

      let place!: QueueEntry
      const ready = new Promise<void>((resolve, reject) => {
        const begin = () => {
          begunAt = now()
          resolve()
        }
        place = { isPatient, begin, refuse: reject }
      })
      user.waiting.push(place)
      return { ready, leave: once(leaveQueue) }

      /** Leaves the queue if the request still waits, for example because the client disconnected. If it has a slot by now, frees the slot. */
      function leaveQueue () {
        const nth = user.waiting.indexOf(place)
        if (nth === -1) return leaveSlot()
        user.waiting.splice(nth, 1)
        place.refuse(new TOO_MANY_AT_ONCE())
      }

      function leaveSlot () {
        const at = now()
        user.workedMs = Math.min(MAX_WORKED_MS, Math.max(0, user.workedMs - (at - user.at) * FREED_PER_MS) + at - begunAt)
        user.at = at
        const restMs = (user.workedMs - FREE_MS) / FREED_PER_MS
        if (user.waiting[0]?.isPatient !== false || restMs <= 0) handOver()
        else setTimeout(handOver, restMs)
      }

      function handOver () {
        const following = user.waiting.shift()
        if (following !== undefined) following.begin()
        else if (--user.working === 0) users.delete(userId)
      }
    }
  }
}

function once (work: () => void) {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    work()
  }
}
