import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createCoalescer } from '../../src/db/batch.ts'

// Batches of items.

t.test('waiting items form one batch, in order, and a single item is processed immediately', async t => {
  const batches: number[][] = []
  const double = createCoalescer(async (items: number[]) => {
    batches.push(items)
    await sleep(5)
    return items.map(item => 2 * item)
  }, { most: 3 })

  t.same(await Promise.all([1, 2, 3, 4, 5].map(double)), [2, 4, 6, 8, 10])
  t.same(batches, [[1], [2, 3, 4], [5]])
  const alone = double(6)
  t.same(batches.at(-1), [6], 'the batch starts synchronously')
  t.equal(await alone, 12)
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
  t.same(await Promise.all(['first', 'a', 'all'].map(outcome)), ['first', 'nothing works', 'nothing works'])
  t.same(await Promise.all(['first', 'a', 'one', 'b'].map(outcome)), ['first', 'a', 'this one does not', 'b'])
})
