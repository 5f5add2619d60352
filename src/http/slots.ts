import { TOO_MANY_AT_ONCE } from '../errors.ts'

/** How many requests may wait for each one that is worked on. */
const WAITING_PER_SLOT = 8

/** Requests that took longer than this are followed by a rest. */
const LIGHT_MS = 10

/** The longest rest, since a request may also have taken its time because its client was slow. */
const MAX_REST_MS = 250

/** A request's place: it may go on when `ready` resolves, and must call `leave` when it has ended, however it ended. */
export interface Slot { ready: Promise<void>, leave: () => void }

interface QueueEntry { isPatient: boolean, begin: () => void, refuse: (error: Error) => void }

/**
 * Lets `most` requests of one user be worked on at once, so that one user cannot take all database connections. A page
 * that sends a dozen requests when it loads should not see errors: further ones wait, in the order in which they came.
 *
 * A user who keeps the queue filled with expensive requests, such as the largest pages there are, would still keep the event
 * loop and the database busy all the time, and everybody else would wait for them. So while requests wait, a slot rests
 * after an expensive one for as long as that took.
 */
export function createSlots (most: number, now = () => performance.now()) {
  const users = new Map<number, { working: number, waiting: QueueEntry[] }>()

  return {
    /**
     * What is patient waits however many others do: the caller has another limit on those.
     * @throws TOO_MANY_AT_ONCE when the queue is full
     */
    enter (userId: number, { isPatient = false } = {}): Slot {
      const user = users.get(userId) ?? { working: 0, waiting: [] }
      users.set(userId, user)
      let begunAt = now()
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
        const tookMs = now() - begunAt
        if (user.waiting.length === 0 || tookMs <= LIGHT_MS) handOver()
        else setTimeout(handOver, Math.min(tookMs, MAX_REST_MS))
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
