import t from 'tap'
import { retryAfterMs } from '../../src/text/retry-after.ts'

t.test('Retry-After in the forms that servers send', async t => {
  const read = (headers: Record<string, string>) => retryAfterMs(new Headers(headers))
  t.equal(read({}), undefined)
  t.equal(read({ 'retry-after': 'soon' }), undefined)
  t.equal(read({ 'retry-after': '2' }), 2000)
  t.equal(read({ 'retry-after': '1.5s' }), 1500)
  t.equal(read({ 'retry-after': '2, 2' }), 2000, 'a gateway has sent it again')
  t.equal(read({ 'retry-after': '2', 'retry-after-ms': '1500' }), 1500)
  t.equal(read({ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }), 0, 'a date in the past')
  const soon = read({ 'retry-after': new Date(Date.now() + 100_000).toUTCString() })!
  t.ok(soon > 0 && soon <= 100_000, 'a date to come')
})
