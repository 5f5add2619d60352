import type { EventEmitter } from 'node:events'
import type pg from 'pg'

type Query = (...args: unknown[]) => unknown

/**
 * Measures the queries of a connection. `hearer` emits 'query' for each, with the name of the prepared statement, or
 * 'unnamed', and the seconds until its result or error.
 */
export function timeQueries (client: pg.ClientBase, hearer: EventEmitter) {
  const query = client.query.bind(client) as Query
  client.query = function timed (...args: unknown[]) {
    const began = performance.now()
    const tell = () => { hearer.emit('query', (args[0] as { name?: string }).name ?? 'unnamed', (performance.now() - began) / 1000) }
    const callback = args.at(-1)
    if (typeof callback === 'function') {
      return query(...args.slice(0, -1), (...answer: unknown[]) => {
        tell()
        callback(...answer)
      })
    }
    const answer = query(...args) as Promise<unknown>
    answer.then(tell, tell)
    return answer
  } as typeof client.query
}
