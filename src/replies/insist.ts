import { setTimeout as sleep } from 'node:timers/promises'

/** How often the end of a reply is stored at most, with a pause that grows. It is about as long as a lease lasts. */
const ATTEMPTS = 5
const PAUSE_MS = 500

/** Stores how a reply ended, and tries again when that fails. `warn` is called with each error. */
export async function insist (store: () => Promise<void>, warn: (error: unknown) => void): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await store()
      return
    } catch (error) {
      warn(error)
      await sleep(attempt * PAUSE_MS)
    }
  }
}
