import t from 'tap'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { createTokenCounter, roughTokensIn, TOKENS_PER_MESSAGE } from '../../src/bots/token-counter.ts'

/** A tokenizer that counts each character as a token, and records its input. */
function createTokenizer () {
  const given: string[] = []
  const count = (text: string) => {
    given.push(text)
    return text.length
  }
  return { given, tokens: createTokenCounter(count) }
}

t.test('the count of a text is that of the tokenizer, and is remembered', async t => {
  const tokens = createTokenCounter(countTokens)
  for (const text of ['', 'Hello!', 'Grüße aus München', '你好', '👩‍👩‍👧', '<|endoftext|> is only text']) {
    const expected = countTokens(text, { disallowedSpecial: new Set() })
    t.equal(await tokens.inText(text), expected, text)
    t.equal(await tokens.inText(text), expected, `${text}, from memory`)
  }
  t.equal(await tokens.inMessages(['Hello!', 'Hello!']), 2 * (countTokens('Hello!') + TOKENS_PER_MESSAGE))
  t.equal(roughTokensIn('12345'), 2 + TOKENS_PER_MESSAGE)
})

t.test('a text is given to the tokenizer once, in slices', async t => {
  const { given, tokens } = createTokenizer()
  const long = 'x'.repeat(12_345)
  t.same([await tokens.inText(long), await tokens.inText(long), await tokens.inText(` ${long}`.slice(1))], [12_345, 12_345, 12_345])
  t.equal(given.join(''), long)
  t.ok(given.every(({ length }) => length <= 500))
})

t.test('counting stops above the limit, and an incomplete count is not remembered', async t => {
  const { given, tokens } = createTokenizer()
  const long = 'x'.repeat(10_000)
  t.equal(await tokens.inText(long, 700), 1_000)
  t.equal(given.length, 2)
  t.equal(await tokens.inText(long), 10_000)
  t.equal(await tokens.inText(long, 700), 10_000, 'the whole text was counted, so its count is known now')
})

t.test('the least recently used texts are forgotten', async t => {
  const { given, tokens } = createTokenizer()
  const texts = Array.from({ length: 30 }, (_, n) => String.fromCharCode(97 + n).repeat(100_000))
  for (const text of texts) await tokens.inText(text)
  given.length = 0
  await tokens.inText(texts[29]!)
  t.equal(given.length, 0)
  await tokens.inText(texts[0]!)
  t.equal(given.length, 200)
})
