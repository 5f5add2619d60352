import t from 'tap'
import fc from 'fast-check'
import { Lexer } from 'marked'
import { createFinder, createSplitter, parseBlock } from '../../web/src/chat/blocks.ts'

const PIECES = [
  'a', 'b c', ' ', '    ', '\t', '\n', '\n', '\n\n', '\r\n', '- ', '1. ', '> ', '# ', '===\n', '---\n', '```', '~~~', '|', '|a|b|\n|-|-|\n|', '[a]: /x', '[a]', '<div>', '</div>', '<!--', '-->',
  '<pre>', '</pre>', '\\', '`', '**', '_', '- [x] ', 'x'.repeat(400), 'y\n'.repeat(700), '> z\n'.repeat(1_100)
]

t.test('the blocks of a text that grows are those of the whole text, wherever it was cut', async t => {
  const texts = fc.uniqueArray(fc.constantFrom(...PIECES), { minLength: 2, maxLength: 8 })
    .chain(some => fc.array(fc.array(fc.constantFrom(...some), { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 3 }))
    .map(parts => parts.map(pieces => pieces.join('')).map(part => part.repeat(Math.ceil(6_000 / part.length))).join('\n'))
  fc.assert(fc.property(texts, fc.integer({ min: 500, max: 4_000 }), (text, step) => {
    const split = createSplitter()
    for (let at = step; at < text.length; at += step) {
      if (JSON.stringify(split(text.slice(0, at))) !== JSON.stringify(createSplitter()(text.slice(0, at)))) return false
    }
    return true
  }), { numRuns: 40 })
  const split = createSplitter()
  split('A paragraph.\n\n'.repeat(1_000))
  t.same(split('# Another text'), ['# Another text'], 'a text that does not go on is split anew')
})

t.test('of a text that grows, only the end is parsed again', async t => {
  const calls = t.capture(Lexer.prototype, 'blockTokens', Lexer.prototype.blockTokens)
  const text = 'A paragraph of a long reply.\n\n'.repeat(3_000)
  const split = createSplitter()
  for (let at = 0; at < text.length; at += 2_000) split(text.slice(0, at))
  const parsed = calls().reduce((sum, { args: [text] }) => sum + text.length, 0)
  t.ok(parsed < 6 * text.length, `${parsed} of ${text.length} characters`)
})

t.test('what would take too long is shown as it is, and so is what the parser fails on', async t => {
  t.equal(parseBlock('> '.repeat(41)), undefined)
  t.same(createSplitter()(`${'> '.repeat(41)}\n\nA *word*`), [`${'> '.repeat(41)}\n`, 'A *word*'])
  t.match(parseBlock('A *word*'), [{ type: 'paragraph', tokens: [{ type: 'text' }, { type: 'em' }] }])
  t.match(parseBlock(`${'|a'.repeat(201)}|\n${'|-'.repeat(201)}|\n${'|x|\n'.repeat(100)}`), [{ type: 'paragraph' }], 'a table of more than 20,000 cells')
  t.match(parseBlock(`A *word* ${'x'.repeat(5_000)}`), [{ tokens: [{ type: 'text' }] }])
  t.equal(atEndOfStack(() => parseBlock('> A *word*')), undefined)
})

t.test('a formula is one piece, and other escaped characters are as in Markdown', async t => {
  const escapesIn = (text: string) => (parseBlock(text) as Array<{ tokens: Array<{ type: string, raw: string, text: string }> }>)[0]!.tokens
    .flatMap(({ type, raw, text }) => type === 'escape' ? [[raw, text]] : [])
  for (const formula of ['\\(a_1 *b* c_2\\)', '\\[\na \\\\ b\\%\n\\]']) t.same(escapesIn(`It is ${formula}.`), [[formula, formula]])
  t.same(escapesIn('An open \\( or \\[ and a \\*'), [['\\(', '('], ['\\[', '['], ['\\*', '*']])
})

t.test('a link finds its address in another block of the text', async t => {
  const linksIn = (text: string) => {
    const blocks = createSplitter()(text)
    const definitionsFor = createFinder(blocks)
    return blocks.flatMap(block => (parseBlock(block, definitionsFor(block)) as Array<{ tokens?: Array<{ type: string, text: string, href: string }> }>)
      .flatMap(({ tokens = [] }) => tokens.flatMap(({ type, text, href }) => type === 'link' ? [[text, href]] : [])))
  }
  t.same(linksIn('See [the docs][1], [Two\nWords], [none] and a note[^1].\n\n[1]: https://a.example "Title"\n[two words]: https://b.example\n\n[1]: https://c.example\n[^1]: https://d.example'), [
    ['the docs', 'https://a.example'], ['Two\nWords', 'https://b.example'], ['^1', 'https://d.example']
  ])
  t.same(linksIn('No [definition] at all'), [])
  const many = Array.from({ length: 501 }, (_, at) => at)
  t.equal(linksIn(`${many.map(at => `[${at}]`).join(' ')}\n\n${many.map(at => `[${at}]: https://example.com/${at}\n`).join('')}`).length, 500)
})

/** Calls a function where the stack has so little room left that it can only just be called. */
function atEndOfStack<T> (call: () => T): T {
  try {
    return atEndOfStack(call)
  } catch {
    return call()
  }
}
