/** How many keys are remembered before those that are quiet are forgotten. */
const MANY = 10_000

/**
 * Counts what each key does, at most `most` within any `period` of milliseconds.
 * @returns whether it may once more, which then counts
 */
export function createPace (most: number, period: number) {
  const done = new Map<number, number[]>()
  let forgot = 0

  return function mayGoOn (key: number): boolean {
    const since = Date.now() - period
    if (done.size > MANY && forgot <= since) forget(since)
    const recent = done.get(key)?.filter(time => time > since) ?? []
    done.set(key, recent)
    if (recent.length >= most) return false
    recent.push(Date.now())
    return true
  }

  /** Goes through all of them, and therefore once in a period at most. */
  function forget (since: number) {
    forgot = Date.now()
    for (const [key, times] of done) if (times.at(-1)! <= since) done.delete(key)
  }
}
