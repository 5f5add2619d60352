import cluster from 'node:cluster'
import { AggregatorRegistry, type Registry } from 'prom-client'
import { UNAVAILABLE } from '../errors.ts'

// A scrape reaches one of the processes that share the port. It asks the primary, which asks all workers and sums up.

interface Scrape { scrape: number, text?: string | undefined }

/** Gives a function that reads the metrics of all processes of this server. Most are sums; see `aggregator` in prom-client. */
export function readAll (registry: Registry): () => Promise<string> {
  if (!cluster.isWorker) return async () => await registry.metrics()

  AggregatorRegistry.setRegistries([registry])
  new AggregatorRegistry() // eslint-disable-line no-new -- this lets it answer the primary
  const asked = new Map<number, (text: string | undefined) => void>()
  let count = 0
  process.on('message', ({ scrape, text }: Partial<Scrape>) => {
    asked.get(scrape!)?.(text)
    asked.delete(scrape!)
  })

  /** @throws UNAVAILABLE if a process does not answer within five seconds */
  return async () => {
    const scrape = count++
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    asked.set(scrape, resolve)
    process.send!({ scrape } satisfies Scrape)
    const text = await promise
    if (text === undefined) throw new UNAVAILABLE()
    return text
  }
}

/** Lets the primary process answer workers that are scraped. */
export function answerScrapes (): void {
  const all = new AggregatorRegistry()
  cluster.on('message', async (worker, { scrape }: Partial<Scrape>) => {
    if (scrape === undefined) return // a message of prom-client's own
    const text = await all.clusterMetrics().catch(() => undefined)
    if (worker.isConnected()) worker.send({ scrape, text } satisfies Scrape)
  })
}
