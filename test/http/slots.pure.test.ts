import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { createOpenCount } from '../../src/http/open-count.ts'
import { createSlots } from '../../src/http/slots.ts'

// Slots for requests, and counts of open streams and sockets.

t.test('slots: requests get a free slot, then wait in a queue, then are refused', async t => {
  const slots = createSlots(2, () => 0) // the clock stands still, because a slot rests after a long request
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
  t.same(begun, [-3, 0], 'a request that left gets no slot, and leaving twice frees one slot')
  taken[1]!.leave()
  for (const slot of waiting) {
    await slot.ready.catch(() => {})
    slot.leave()
  }
  await patient.ready
  patient.leave()
  t.same(begun, [-3, 0, 1, 2, ...Array.from({ length: 12 }, (_, n) => n + 4)], 'in the order of their arrival')
})

t.test('slots: a user who keeps sending expensive requests is slowed down', async t => {
  let now = 0
  const slots = createSlots(1, () => now)
  const isReady = async ({ ready }: { ready: Promise<void> }) => await Promise.race([ready.then(() => true), sleep(1).then(() => false)])
  const [first, second, third, fourth] = [slots.enter(1), slots.enter(1), slots.enter(1), slots.enter(1)]
  const [patient, last] = [slots.enter(1, { isPatient: true }), slots.enter(1)]
  now += 240
  first.leave()
  t.ok(await isReady(second), 'no rest after a short burst')
  now += 25
  const began = performance.now()
  second.leave()
  t.notOk(await isReady(third))
  await third.ready
  t.ok(performance.now() - began > 50, 'the slot rests for the time beyond that')
  now += 60_000
  third.leave()
  await fourth.ready
  t.ok(performance.now() - began > 1_000, 'the slot rests for a second at most')
  now += 60_000
  fourth.leave()
  t.ok(await isReady(patient), 'a patient request does not wait for the rest')
  patient.leave()
  await last.ready
  last.leave()
  t.ok(await isReady(slots.enter(1)), 'a slot does not rest if no request waits')
})

t.test('an open count is kept by key, and each entry can be removed only once', t => {
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
