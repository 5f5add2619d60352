import t from 'tap'
import { partsOf } from '../../../src/channels/whatsapp/parts.ts'
import { troubleOf } from '../../../src/channels/whatsapp/error-codes.ts'

// Parts of long replies, and what an error of Meta means.

t.test('parts of a long reply end between words, and never inside of a character', { buffered: true }, async t => {
  const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  const isBetween = (text: string, at: number) => {
    const around = text.slice(at - 1_000, at + 1_000)
    return graphemes.segment(around).containing(1_000)!.index === 1_000
  }
  const texts = {
    words: 'one two '.repeat(12_500),
    'no space': 'x'.repeat(100_000),
    Thai: 'สวัสดีครับผมชื่อจอห์น'.repeat(4_700),
    Chinese: '今天天气很好我们去公园玩'.repeat(8_000),
    families: '👨‍👩‍👧‍👦'.repeat(9_000),
    flags: `a${'🇩🇪'.repeat(25_000)}`,
    'skin tones': '👍🏽'.repeat(25_000),
    'accents of spaces': 'a \u0308'.repeat(33_000),
    'one character': `e${'\u0301'.repeat(99_999)}`,
    'a long character behind words': `${'word '.repeat(700)}e${'\u0301'.repeat(9_000)}`,
    'a surrogate pair at the end': `${'\u0301'.repeat(4_095)}${'👍'.repeat(3)}`,
    blanks: ' '.repeat(10_000)
  }
  for (const [name, whole] of Object.entries(texts)) {
    const began = performance.now()
    const parts = partsOf({ text: whole, status: 'complete' })
    t.ok(performance.now() - began < 2_000, `${name}: in time`)
    t.ok(parts.every(part => part.length <= 4096 && part.isWellFormed()), name)
    if (name === 'blanks') continue
    t.equal(parts.join(''), whole, name)
    const ends = parts.slice(0, -1).map((_, n) => parts.slice(0, n + 1).join('').length)
    if (!name.includes('character') && name !== 'flags') t.ok(ends.every(at => isBetween(whole, at)), `${name}: between characters`)
    if (name === 'words') t.ok(parts.every(part => part.endsWith(' ')))
    if (name === 'flags') t.ok(parts.slice(1).every(part => part.startsWith('🇩🇪')))
    if (name === 'Chinese') t.notOk(parts.slice(1).some(part => /^[们园气]/.test(part)), 'no word of it is cut')
  }
  const ofPairs = partsOf({ text: `e${'\u{e0100}'.repeat(5_000)}`, status: 'complete' })
  t.equal(ofPairs[0]!.length, 4095, 'even one that is too long is not cut within a surrogate pair')
  t.equal(ofPairs.length, 3)
  t.same(partsOf({ text: '', status: 'deleted' }), [])
})

t.test('an error concerns the message, is temporary, or concerns our account', { buffered: true }, async t => {
  const each = (codes: number[], trouble: string) => codes.forEach(code => t.equal(troubleOf({ code }), trouble, `${code}`))
  each([0, 3, 10, 33, 190, 200, 250, 299, 368, 131005, 131031, 131037, 131042, 131045, 133010], 'account')
  each([1, 2, 4, 80007, 130429, 131000, 131016, 131048, 131056, 131057, 133004, 133016], 'passing')
  each([100, 130472, 130497, 131008, 131009, 131021, 131026, 131047, 131049, 131051, 131053, 132000, 132001, 132015, 135000, 199, 300, 999999], 'message')
  t.equal(troubleOf({ code: 100, subcode: 33 }), 'account', 'a phone number id that is not there')
  t.equal(troubleOf({ code: 999999, isTransient: true }), 'passing')
  t.equal(troubleOf({ code: 131026, isTransient: true }), 'passing', 'Meta says that it passes')
  t.equal(troubleOf({ code: 190, isTransient: true }), 'account', 'an expired token does not mend itself')
  t.equal(troubleOf({ code: 3, status: 500 }), 'account', 'the code counts, not the status')
  t.equal(troubleOf({ code: 131026, status: 500 }), 'message')
  for (const code of [null, 999999]) {
    for (const status of [401, 402, 403, 404]) t.equal(troubleOf({ code, status }), 'account', `${status}`)
    for (const status of [408, 429, 500, 502, 503, 504]) t.equal(troubleOf({ code, status }), 'passing', `${status}`)
    for (const status of [400, 413, 422]) t.equal(troubleOf({ code, status }), 'message', `${status}`)
  }
})
