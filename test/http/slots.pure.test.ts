import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { createOpenCount } from '../../src/http/open-count.ts'
import { createSlots } from '../../src/http/slots.ts'

// Slots for requests, and counts of what is open.

t.test('slots: as many as there are, then a queue, then a refusal', async t => {
  const slots = createSlots(2, () => 0) // no request takes any time, or a slot would rest after it
  const taken = [slots.enter(1), slots.enter(1)]
  await Promise.all(taken.map(({ ready }) => ready))
  const begun: number[] = []
  const waiting = Array.from({ length: 16 }, (_, n) => {
    const slot = slots.enter(1)
    slot.ready.then(() => begun.push(n), () => begun.push(-n))
    return slot
  })
  t.throws(() => slots.enter(1), { code: 'TOO_MANY_AT_ONCE', retryAfter: 1 })
  const patient = slots.enter(1, { isPatient: true })
  await slots.enter(2).ready
  waiting[3]!.leave()
  waiting[3]!.leave()
  taken[0]!.leave()
  taken[0]!.leave()
  await sleep(1)
  t.same(begun, [-3, 0], 'one that went away does not get a place, and leaving twice frees one place')
  taken[1]!.leave()
  for (const slot of waiting) {
    await slot.ready.catch(() => {})
    slot.leave()
  }
  await patient.ready
  patient.leave()
  t.same(begun, [-3, 0, 1, 2, ...Array.from({ length: 12 }, (_, n) => n + 4)], 'in the order in which they came')
})

t.test('slots: one rests after an expensive request while others wait, for as long as it took', async t => {
  let now = 0
  const slots = createSlots(1, () => now)
  const isReady = async ({ ready }: { ready: Promise<void> }) => await Promise.race([ready.then(() => true), sleep(1).then(() => false)])
  const [expensive, next, last] = [slots.enter(1), slots.enter(1), slots.enter(1)]
  now += 100
  const began = performance.now()
  expensive.leave()
  t.notOk(await isReady(next))
  await next.ready
  t.ok(performance.now() - began > 90)
  now += 5
  next.leave()
  t.ok(await isReady(last), 'a cheap one is followed at once')
  now += 100
  last.leave()
  t.ok(await isReady(slots.enter(1)), 'and where nobody waits, nothing rests')
})

t.test('what is open is counted for each, and taken back once', t => {
  const open = createOpenCount(2)
  const [first, second] = [open.add('a')!, open.add('a')!]
  t.equal(open.add('a'), undefined)
  t.ok(open.add('b'))
  first()
  first()
  t.equal(open.count('a'), 1)
  second()
  t.equal(open.count('a'), 0)
  t.end()
})
