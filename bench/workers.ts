import { openBench, tokenOf } from './database.ts'
import { drive, type Call } from './load.ts'
import { inTurns, rowOf } from './rounds.ts'
import type { Measure } from './row.ts'

const SIZE = { users: 20, conversations: 100, messages: 50, rich: 0, longest: 0 }

/** How many times as many messages two processes take as one, with `WORKERS=2`. The generator and the database share their two processors. */
export const measure: Measure = async ({ isQuick }) => {
  const [rounds, seconds] = isQuick ? [1, 1] : [5, 4]
  const bench = await openBench()
  try {
    const { url, serve } = await bench.fill('workers', SIZE)
    const two = await serve({ WORKERS: '2' })
    const calls: Call[] = Array.from({ length: SIZE.users * SIZE.conversations }, (_, n) => ({
      method: 'POST', path: `/api/conversations/${n + 1}/messages`, token: tokenOf(Math.floor(n / SIZE.conversations) + 1), body: { text: 'What is to be said, and is it much?' }
    }))
    const figures = await inTurns({
      one: () => drive(url, calls, seconds),
      two: () => drive(two.url, calls, seconds)
    }, rounds)
    return [rowOf('send a message, WORKERS=2', figures.two, figures.one, { share: 1.4 })]
  } finally {
    await bench.close()
  }
}
