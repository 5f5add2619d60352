import { setTimeout as sleep } from 'node:timers/promises'
import { isUnavailable } from '../db/client.ts'

/** The most attempts to store the end of a reply. With the growing pauses they take about as long as a lease lasts. */
const ATTEMPTS = 5
const PAUSE_MS = 500

/**
 * Calls `store`, with retries, so that neither the beginning nor the end of a reply is lost. Calls `warn` with the errors of the first
 * attempts. Gives up after ATTEMPTS. With a `signal`, it does not give up while the database is unavailable, until the signal aborts.
 * @param pauseMs the first pause between two attempts, in milliseconds
 */
export async function insist (store: () => Promise<void>, warn: (error: unknown) => void, signal?: AbortSignal, pauseMs = PAUSE_MS): Promise<void> {
  let isOver = false
  for (let attempt = 1; !isOver; attempt++) {
    try {
      await store()
      isOver = true
    } catch (error) {
      if (attempt <= ATTEMPTS) warn(error)
      await sleep(Math.min(attempt, ATTEMPTS) * pauseMs)
      const isWaiting = isUnavailable(error) && signal?.aborted === false
      isOver = attempt >= ATTEMPTS && !isWaiting
    }
  }
}
