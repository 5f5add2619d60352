import t from 'tap'
import { isCrowded, MAX_CONTAINERS } from '../../src/text/crowded-json.ts'

const crowded = (json: string) => isCrowded(Buffer.from(json))
const lists = (count: number) => `[${'[],'.repeat(count - 2)}[]]`

t.test('a JSON text with too many objects and lists is recognised', async t => {
  t.equal(crowded(lists(MAX_CONTAINERS)), false)
  t.equal(crowded(lists(MAX_CONTAINERS + 1)), true)
  t.equal(crowded(lists(MAX_CONTAINERS + 1).replaceAll('[]', '{}')), true)
  t.equal(crowded('['.repeat(MAX_CONTAINERS + 1)), true, 'also if it is not complete')
  t.equal(crowded(`["${'é'.repeat(10)}\\\\",${lists(MAX_CONTAINERS)}]`), true, 'an escaped backslash before a quote does not escape the quote')
})

t.test('what looks like objects and lists in a text does not count', async t => {
  const text = lists(MAX_CONTAINERS + 1)
  t.equal(crowded(`["${text}"]`), false)
  t.equal(crowded(`["\\"${text}"]`), false, 'nor behind an escaped quote')
  t.equal(crowded(`["\\\\\\"${text}"]`), false)
  t.equal(crowded(`["${text}`), false, 'nor in a text that does not end')
})
