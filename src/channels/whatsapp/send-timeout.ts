/** In milliseconds. A request times out before a server that shuts down stops waiting for its jobs. */
const SEND_TIMEOUT_MS = 10_000

/** In milliseconds: a timer that fires this much later shows that the process was paused. Reading what has arrived takes less. */
const LATE_MS = 1_000

/**
 * Begins the time that a request to Meta may take. When the process was paused, as when its machine was suspended, timers fire
 * before what has arrived meanwhile is read. A message whose response is here already would count as unanswered and be sent again. So
 * a timer that fires late begins once more. `now` is in milliseconds.
 */
export function startTimeout (now = () => performance.now()) {
  const over = new AbortController()
  let timer: NodeJS.Timeout
  const wait = (milliseconds: number) => {
    const due = now() + milliseconds
    timer = setTimeout(() => {
      if (now() > due + LATE_MS) wait(LATE_MS)
      else over.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
    }, milliseconds).unref()
  }
  wait(SEND_TIMEOUT_MS)
  return { signal: over.signal, clear: () => { clearTimeout(timer) } }
}
