import t from 'tap'
import { partsOf } from '../../../src/channels/whatsapp/parts.ts'
import { troubleOf } from '../../../src/channels/whatsapp/error-codes.ts'

// Parts of long replies, and the kinds of Meta's errors.

t.test('a reply is sent in parts; one without visible characters gets an apology, unless it was deleted', async t => {
  t.same(partsOf({ text: `${'x'.repeat(4096)}y`, status: 'complete' }), ['x'.repeat(4096), 'y'])
  for (const text of ['', ' '.repeat(10_000)]) t.match(partsOf({ text, status: 'failed' }), [/^Sorry/])
  t.same(partsOf({ text: '', status: 'deleted' }), [])
})

t.test('an error concerns the message, is temporary, or concerns our account', { buffered: true }, async t => {
  const each = (codes: number[], trouble: string) => codes.forEach(code => t.equal(troubleOf({ code }), trouble, `${code}`))
  each([0, 3, 10, 33, 104, 190, 200, 250, 299, 368, 131005, 131031, 131037, 131042, 131045, 133010], 'account')
  each([1, 2, 4, 80007, 80008, 130429, 131000, 131016, 131048, 131056, 131057, 133004, 133016], 'passing')
  each([100, 130472, 130497, 131008, 131009, 131021, 131026, 131047, 131049, 131051, 131053, 132000, 132001, 132015, 135000, 199, 300, 999999], 'message')
  t.equal(troubleOf({ code: 100, subcode: 33 }), 'account', 'a phone number id that does not exist')
  t.equal(troubleOf({ code: 999999, isTransient: true }), 'passing')
  t.equal(troubleOf({ code: 131026, isTransient: true }), 'passing', 'Meta says that the error is temporary')
  t.equal(troubleOf({ code: 190, isTransient: true }), 'account', 'an expired token is not a temporary error')
  t.equal(troubleOf({ code: 3, status: 500 }), 'account', 'the code decides, not the status')
  t.equal(troubleOf({ code: 131026, status: 500 }), 'message')
  for (const code of [null, 999999]) {
    for (const status of [401, 402, 403, 404]) t.equal(troubleOf({ code, status }), 'account', `${status}`)
    for (const status of [408, 429, 500, 502, 503, 504]) t.equal(troubleOf({ code, status }), 'passing', `${status}`)
    for (const status of [400, 413, 422]) t.equal(troubleOf({ code, status }), 'message', `${status}`)
  }
})
