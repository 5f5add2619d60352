import t from 'tap'
import { createJsonScanner, isCrowded, MAX_CONTAINERS } from '../../src/text/json-scanner.ts'

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

t.test('a JSON text is complete when each object and list in it has ended, wherever it is cut', async t => {
  const text = JSON.stringify({ a: [{}, [], '}]"\\'], 'é"}': { b: '\\"[' } })
  const bytes = Buffer.from(text)
  for (let size = 1; size <= bytes.length; size++) {
    const scanner = createJsonScanner()
    const complete: number[] = []
    for (let from = 0; from < bytes.length; from += size) {
      scanner.take(bytes.subarray(from, from + size))
      if (scanner.isComplete()) complete.push(Math.min(from + size, bytes.length))
    }
    t.same(complete, [bytes.length], `in chunks of ${size} bytes`)
  }
  t.equal(createJsonScanner().isComplete(), false, 'an empty text is not')
})
