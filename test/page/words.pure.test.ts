import t from 'tap'
import { dayOf, momentOf, shortly, timeOf } from '../../web/src/ui/time.ts'
import { words } from '../../web/src/words.ts'

type Words = string | ((...values: Array<string & number>) => string) | { [name: string]: Words }

t.test('every text of the page has words, and contains the values that it is given', async t => {
  let count = 0
  function check (value: Words, name: string) {
    if (typeof value === 'object') return Object.entries(value).forEach(([inner, text]) => check(text, `${name}.${inner}`))
    const one = typeof value === 'function' ? value(...[1, 1] as Array<string & number>) : value
    const many = typeof value === 'function' ? value(...[2_000, 2_000] as Array<string & number>) : value
    for (const text of [one, many]) {
      t.ok(text.trim() !== '' && !/undefined|NaN|\[object/.test(text), `${name}: ${text}`)
      count++
    }
    if (typeof value === 'function') t.not(one, many, `${name} has the value in it`)
  }
  check(words as unknown as Words, 'words')
  t.ok(count > 100)
})

t.test('the title of the tab says how many conversations have something new', t => {
  t.same([0, 1, 3].map(conversations => words.unread(conversations, 'Parley')), ['Parley', '(1) Parley', '(3) Parley'])
  t.end()
})

t.test('the date of a message of another year says which year', t => {
  const now = new Date('2026-03-10T12:00:00')
  t.match(dayOf('2024-03-09T12:00:00', now), /2024/)
  t.match(shortly('2024-03-09T12:00:00', now), /2024/)
  t.notMatch([dayOf('2026-03-01T12:00:00', now), shortly('2026-03-01T12:00:00', now)].join(), /2026/)
  const [yesterday, newYear] = ['2025-12-31T23:45:00', new Date('2026-01-01T01:00:00')] as const
  t.notMatch(dayOf(yesterday, newYear), /\d/, 'a word, not the date')
  t.match(shortly(yesterday, newYear), /2025/)
  t.equal(shortly(yesterday, new Date('2025-12-31T23:50:00')), timeOf(yesterday), 'what was sent today has its time')
  t.match(momentOf(yesterday), /2025.*45/)
  t.end()
})
