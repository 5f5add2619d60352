import { setImmediate as nextTurn } from 'node:timers/promises'

interface Waiting<Item, Result> {
  item: Item
  resolve: (result: Result | Promise<Result>) => void
  reject: (error: unknown) => void
}

/**
 * Batches items that arrive at about the same time. If nothing is running, a batch begins in this turn of the event loop,
 * as soon as everything that has been received is handled: requests that are read together share the first batch. Items that
 * arrive while `work` is running wait and form the next one, in the order of their arrival.
 *
 * `work` returns the results in the order of the items. A result that is a promise is awaited only for its own item. If
 * `work` throws, the items of the batch and all waiting ones are rejected, so that no item waits for two failures.
 * @param most the largest number of items in a batch
 */
export function createCoalescer<Item, Result> (
  work: (items: Item[]) => Promise<Array<Result | Promise<Result>>>, { most }: { most: number }
): (item: Item) => Promise<Result> {
  const waiting: Array<Waiting<Item, Result>> = []
  let working: Promise<void> | undefined

  async function workOff () {
    while (waiting.length > 0) {
      await nextTurn()
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
