import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createPoller } from '../../src/db/poller.ts'
import { until } from '../support/process.ts'

t.test('a start while a look is about to find nothing is not lost', async t => {
  const answers: Array<(goesOn: boolean) => void> = []
  const poller = createPoller(1, async () => await new Promise<boolean>(resolve => { answers.push(resolve) }))
  poller.start()
  poller.start()
  await until(async () => await sleep(1) === undefined && answers.length === 1)
  // The last follower has left, and the next one comes just when that is reported.
  answers[0]!(false)
  poller.start()
  await until(async () => await sleep(1) === undefined && answers.length === 2)
  answers[1]!(true)
  await until(async () => await sleep(1) === undefined && answers.length === 3)
  answers[2]!(false)
  await sleep(20)
  t.equal(answers.length, 3, 'it ends when nobody wants it')
  poller.start()
  await until(async () => await sleep(1) === undefined && answers.length === 4)
})
