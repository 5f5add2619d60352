import t from 'tap'
import { mentionBegunIn, mentionsIn } from '../../src/text/mentions.ts'

t.test('a mention is a whole word; in scripts without spaces, the words beside it do not belong to it', async t => {
  t.same(mentionsIn('@Ann, @bob-2! mail@carol, é@dan, @evé, 你好@frankさん ＠gina야 @hal_'), ['ann', 'bob-2', 'frank', 'gina', 'hal_'])
})

t.test('a mention that is being typed', async t => {
  for (const [text, begun] of [['@', ''], ['hi @An', 'An'], ['请@an', 'an'], ['＠ánn', 'ánn'], ['@ann ', undefined], ['mail@an', undefined]] as const) t.equal(mentionBegunIn(text), begun, text)
})
