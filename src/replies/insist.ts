import { setTimeout as sleep } from 'node:timers/promises'
import { isUnavailable } from '../db/client.ts'

/** The most attempts to store the end of a reply. With the growing pauses they take about as long as a lease lasts. */
const ATTEMPTS = 5
const PAUSE_MS = 500

/**
 * Calls `store`, with retries, so that the end of a reply is not lost. Calls `warn` with each error. Gives up after the last attempt. With
 * a `signal`, it does not give up while the database is unavailable, until the signal aborts.
 */
export async function insist (store: () => Promise<void>, warn: (error: unknown) => void, signal?: AbortSignal): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await store()
      return
    } catch (error) {
      warn(error)
      await sleep(attempt * PAUSE_MS)
      if (attempt === ATTEMPTS && isUnavailable(error) && signal?.aborted === false) attempt--
    }
  }
}
