import { AsyncResource } from 'node:async_hooks'

/**
 * Calls `look` every `intervalMs` after `start`, until `look` resolves to false because there is nothing to watch any more.
 * The next `start` begins again. Calls do not overlap. `look` must not reject.
 */
export function createPoller (intervalMs: number, look: () => Promise<boolean>) {
  let timer: NodeJS.Timeout | undefined
  /** Whether `start` was called since `look` began: what it saw may be out of date when it resolves. */
  let isWanted = false
  // Detached from the request that happens to start it, so that tracing does not attribute later queries to that request.
  const run = AsyncResource.bind(async () => {
    isWanted = false
    const goesOn = await look()
    timer = goesOn || isWanted ? begin() : undefined
  })
  const begin = () => setTimeout(run, intervalMs).unref()

  return {
    start () {
      isWanted = true
      timer ??= begin()
    }
  }
}
