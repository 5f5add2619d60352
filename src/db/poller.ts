import { AsyncResource } from 'node:async_hooks'

/**
 * Calls `look` every `intervalMs` from `start` on, until it resolves to false: then there is nothing to look after, and
 * the next `start` begins again. It must not reject. One call ends before the next begins.
 */
export function createPoller (intervalMs: number, look: () => Promise<boolean>) {
  let timer: NodeJS.Timeout | undefined
  // Detached from the request that happens to start it, so that tracing does not attribute later queries to that request.
  const run = AsyncResource.bind(async () => {
    timer = await look() ? begin() : undefined
  })
  const begin = () => setTimeout(run, intervalMs).unref()

  return {
    start () {
      timer ??= begin()
    }
  }
}
