interface Waiting<Item, Result> {
  item: Item
  resolve: (result: Result | Promise<Result>) => void
  reject: (error: unknown) => void
}

/**
 * Makes one piece of work of many that come at about the same time: what comes while work is under way waits, and goes
 * into the next, in the order in which it came. What comes when nothing is under way goes at once. `work` gives the
 * items' results in their order, or throws for all of them and for what waits, so that nobody waits for two failures;
 * a result that is a promise is waited for by its item alone.
 * @param most how many items go together at most
 */
export function createCoalescer<Item, Result> (
  work: (items: Item[]) => Promise<Array<Result | Promise<Result>>>, { most }: { most: number }
): (item: Item) => Promise<Result> {
  const waiting: Array<Waiting<Item, Result>> = []
  let working: Promise<void> | undefined

  async function workOff () {
    while (waiting.length > 0) {
      const together = waiting.splice(0, most)
      try {
        const results = await work(together.map(({ item }) => item))
        for (const [nth, { resolve }] of together.entries()) resolve(results[nth]!)
      } catch (error) {
        for (const { reject } of [...together, ...waiting.splice(0)]) reject(error)
      }
    }
    working = undefined
  }

  return async function coalesced (item) {
    return await new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      working ??= workOff()
    })
  }
}
