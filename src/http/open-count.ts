/** Counts what is open for each key (a user, an address), at most `most` for one. */
export function createOpenCount (most: number) {
  const open = new Map<string, number>()

  return {
    count: (key: string) => open.get(key) ?? 0,

    /** Counts one more, and gives a function that takes it back; undefined when there are `most` already. */
    add (key: string): (() => void) | undefined {
      const before = open.get(key) ?? 0
      if (before >= most) return undefined
      open.set(key, before + 1)
      let isOpen = true
      return function remove () {
        if (!isOpen) return
        isOpen = false
        const left = open.get(key)! - 1
        if (left === 0) open.delete(key)
        else open.set(key, left)
      }
    }
  }
}
