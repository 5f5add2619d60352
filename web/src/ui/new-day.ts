import { useSyncExternalStore } from 'react'

const CHECK_EVERY_MS = 30_000

/** Renders the component again when a day begins, because what it shows says "Today", or the time only if it was today. */
export function useNewDay () {
  useSyncExternalStore(changed => {
    // No timer for midnight: it would be late after the computer was asleep.
    const timer = setInterval(changed, CHECK_EVERY_MS)
    return () => clearInterval(timer)
  }, () => new Date().toDateString())
}
