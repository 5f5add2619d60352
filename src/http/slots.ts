import { TOO_MANY_AT_ONCE } from '../errors.ts'

/** How many requests may wait for each one that is worked on. */
const WAITING_PER_SLOT = 8

/**
 * How many milliseconds of work a user has free, and how many become free again in each millisecond. A page that loads
 * does not come near the first; the second is what somebody gets who never stops asking.
 */
const FREE_MS = 250
const FREED_PER_MS = 0.15

/** No more is counted, so that no rest is longer than a second: a request may also have taken long because its client was slow. */
const MAX_WORKED_MS = FREE_MS + 1_000 * FREED_PER_MS

/** A request's place: it may go on when `ready` resolves, and must call `leave` when it has ended, however it ended. */
export interface Slot { ready: Promise<void>, leave: () => void }

interface QueueEntry { isPatient: boolean, begin: () => void, refuse: (error: Error) => void }

/** `workedMs` is what the user's requests have taken together, less what has become free again until `at`. */
interface User { working: number, waiting: QueueEntry[], workedMs: number, at: number }

/**
 * Lets `most` requests of one user be worked on at once, so that one user cannot take all database connections. A page
 * that sends a dozen requests when it loads should not see errors: further ones wait, in the order in which they came.
 *
 * A user who always has expensive requests waiting, such as for the largest pages there are, would still keep the event
 * loop and the database busy all the time, and everybody else would wait for them. So while requests wait, and their user
 * has used up what is free, a slot rests before it takes the next one.
 */
export function createSlots (most: number, now = () => performance.now()) {
  const users = new Map<number, User>()

  return {
    /**
     * What is patient waits however many others do: the caller has another limit on those.
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

      /** A caller that goes away while it waits gives up its place; its slot, if it had one already, goes to the next. */
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
