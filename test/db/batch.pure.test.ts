import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createCoalescer } from '../../src/db/batch.ts'

// Batches of items.

t.test('items that arrive together form one batch, in order, and so do those that arrive meanwhile', async t => {
  const batches: number[][] = []
  const double = createCoalescer(async (items: number[]) => {
    batches.push(items)
    await sleep(5)
    return items.map(item => 2 * item)
  }, { most: 3 })

  t.same(await Promise.all([1, 2, 3, 4, 5].map(double)), [2, 4, 6, 8, 10])
  t.same(batches, [[1, 2, 3], [4, 5]])
  const alone = double(6)
  await nextTurn()
  t.same(batches.at(-1), [6], 'a batch starts in the same turn of the event loop')
  const later = [7, 8].map(double)
  t.equal(await alone, 12)
  t.same(await Promise.all(later), [14, 16])
  t.same(batches.slice(2), [[6], [7, 8]])
})

t.test('an error of a batch rejects all of its items, and later items are processed', async t => {
  const attempt = createCoalescer(async (items: string[]) => {
    await sleep(1)
    if (items.includes('all')) throw new Error('nothing works')
    return items.map(async item => {
      if (item === 'one') throw new Error('this one does not')
      return item
    })
  }, { most: 10 })
  const outcome = async (item: string) => await attempt(item).catch(error => error.message)
  const first = outcome('first')
  await nextTurn()
  t.same(await Promise.all([first, ...['a', 'all'].map(outcome)]), ['first', 'nothing works', 'nothing works'])
  t.same(await Promise.all(['a', 'one', 'b'].map(outcome)), ['a', 'this one does not', 'b'])
})
