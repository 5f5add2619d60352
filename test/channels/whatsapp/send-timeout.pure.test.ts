import t, { type Test } from 'tap'
import { mock } from 'node:test'
import { startTimeout } from '../../../src/channels/whatsapp/send-timeout.ts'

// How long a request to Meta may take.

/** A timeout, and a clock that goes on while the process runs, or while it is paused: then timers fire late. */
function start (t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let now = 0
  const timeout = startTimeout(() => now)
  return {
    ...timeout,
    runs (milliseconds: number) {
      now += milliseconds
      mock.timers.tick(milliseconds)
    },
    isPaused (milliseconds: number) {
      now += milliseconds
    }
  }
}

t.test('a request without a response ends after ten seconds', async t => {
  const { signal, runs } = start(t)
  runs(9_999)
  t.notOk(signal.aborted)
  runs(1)
  t.match(signal.reason, { name: 'TimeoutError' })
})

t.test('after a pause of the process, a request has another second, in which a response that has arrived is read', async t => {
  const { signal, runs, isPaused } = start(t)
  runs(4_000)
  isPaused(60_000)
  runs(6_000)
  t.notOk(signal.aborted)
  runs(999)
  t.notOk(signal.aborted)
  runs(1)
  t.match(signal.reason, { name: 'TimeoutError' })
})

t.test('a request that has ended does not time out', async t => {
  const { signal, clear, runs } = start(t)
  clear()
  runs(60_000)
  t.notOk(signal.aborted)
})
