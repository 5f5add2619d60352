import t from 'tap'
import { split } from '../../src/text/split.ts'
import { isPrompt } from '../support/prompt.ts'

t.test('parts of a long text end between words, and never inside a character', async t => {
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
    const parts = split(whole, 4096)
    isPrompt(t, began, 500, `${name}: split`)
    t.ok(parts.every(part => part.length <= 4096 && part.isWellFormed()), name)
    t.equal(parts.join(''), name === 'blanks' ? '' : whole, name)
    if (name === 'blanks') continue
    const ends = parts.slice(0, -1).map((_, n) => parts.slice(0, n + 1).join('').length)
    if (!name.includes('character') && name !== 'flags') t.ok(ends.every(at => isBetween(whole, at)), `${name}: parts end between characters`)
    if (name === 'words') t.ok(parts.every(part => part.endsWith(' ')))
    if (name === 'flags') t.ok(parts.slice(1).every(part => part.startsWith('🇩🇪')))
    if (name === 'Chinese') t.notOk(parts.slice(1).some(part => /^[们园气]/.test(part)), 'no word is split')
  }
  const ofPairs = split(`e${'\u{e0100}'.repeat(5_000)}`, 4096)
  t.equal(ofPairs[0]!.length, 4095, 'a text without word boundaries is not split inside a surrogate pair')
  t.equal(ofPairs.length, 3)
})
