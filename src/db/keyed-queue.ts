/**
 * Runs calls with the same key one after the other, in their order. Those that wait need no connection to the database, as they would
 * if they waited there for one another's locks.
 */
export function createKeyedQueue () {
  const last = new Map<string, Promise<unknown>>()
  return async function inTurn<T> (key: string, work: () => Promise<T>): Promise<T> {
    const mine = (last.get(key) ?? Promise.resolve()).then(work, work)
    last.set(key, mine)
    try {
      return await mine
    } finally {
      if (last.get(key) === mine) last.delete(key)
    }
  }
}
