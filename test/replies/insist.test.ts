import t from 'tap'
import { insist } from '../../src/replies/insist.ts'

const refused = Object.assign(new Error('duplicate key'), { code: '23505' })
const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })

/** Stores something after some attempts that fail. Returns how many failed, and how many of them were logged. */
async function attempts ({ error, failures, signal, failed = () => {} }: { error: Error, failures: number, signal?: AbortSignal, failed?: (count: number) => void }) {
  let [count, logged, isStored] = [0, 0, false]
  const store = async () => {
    if (count === failures) isStored = true
    else {
      failed(++count)
      throw error
    }
  }
  await insist(store, () => { logged++ }, signal, 1)
  return { count, logged, isStored }
}

t.test('the end of a reply is stored after a few attempts, or given up', async t => {
  const { signal } = new AbortController()
  t.same(await attempts({ error: refused, failures: 4, signal }), { count: 4, logged: 4, isStored: true })
  t.same(await attempts({ error: refused, failures: 10, signal }), { count: 5, logged: 5, isStored: false })
  t.same(await attempts({ error: away, failures: 10 }), { count: 5, logged: 5, isStored: false }, 'without a signal')
})

t.test('while the database is away, it waits until it is back or the reply is aborted, and does not fill the log', async t => {
  t.same(await attempts({ error: away, failures: 20, signal: new AbortController().signal }), { count: 20, logged: 5, isStored: true })
  const abort = new AbortController()
  const failed = (count: number) => { if (count === 8) abort.abort() }
  t.same(await attempts({ error: away, failures: 20, signal: abort.signal, failed }), { count: 8, logged: 5, isStored: false })
})
