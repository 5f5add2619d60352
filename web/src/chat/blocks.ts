import { getDefaults, Lexer, Tokenizer, type Token, type Tokens } from 'marked'

// Parses Markdown, in a time that grows with the length of a text and not with its square, whatever the text says.

/** Longer runs of inline text are not parsed, since the parser's time grows with the square of their length. */
const MOST_IN_RUN = 5_000

/** Deeply nested quotes and lists, which nobody writes and which would overflow the parser's stack. */
const TOO_DEEP = /^[ \t]*(?:(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])[ \t]*){40}/m

/** Longer quotes and paragraphs are shown as several. Each part of such a paragraph is too long to be parsed. */
const MOST_IN_BLOCK = MOST_IN_RUN + 1_000

/** Longer headings, of those that are underlined with `===` or `---`, are shown as text. */
const MOST_IN_HEADING = 1_000

/**
 * A table with more cells is shown as text. The parser fills up short rows, so that 24 kB of text, with 5,000 columns and 1,000 short
 * rows, become five million cells, which a browser cannot show.
 */
const MOST_CELLS = 20_000

/**
 * How many characters at the end of a text may be split in another way when it goes on. The parser looks ahead: `a\n---` is a heading,
 * until it goes on as `a\n--->`.
 */
const UNSETTLED = MOST_IN_BLOCK + MOST_IN_HEADING

/**
 * Splits a text into blocks, without parsing their inline text. The returned function remembers the settled blocks of the last text. While a
 * reply is being written, each text begins with the one before, so these blocks are reused and only the rest is split.
 */
export function createSplitter () {
  let settled: string[] = []

  return function split (markdown: string): string[] {
    const text = markdown.replaceAll(/\r\n?/g, '\n') // the parser knows no other ends of lines
    if (TOO_DEEP.test(text)) return text.split(/(?<=\n)\n+/)
    const known = settled.join('')
    if (!text.startsWith(known)) settled = []
    const rest = text.slice(settled.length === 0 ? 0 : known.length)
    const blocks = [...settled, ...attempt(() => createLexer().blockTokens(rest).map(({ raw }) => raw), [rest])]
    let left = text.length
    settled = blocks.slice(0, -1).filter(block => (left -= block.length) >= UNSETTLED)
    return blocks
  }
}

/** A block that defines the address of links, such as `[docs]: https://example.com`, and what may be a link to it: `[docs]`. */
const DEFINITION = /^ {0,3}\[((?:\\.|[^[\]\\])+)\]:/
const REFERENCE = /\[((?:\\.|[^[\]\\])+)\]/g

/** Further definitions are ignored, since the parser's time grows with the number of definitions times the number of references. */
const MOST_DEFINITIONS = 500

/** Finds the definitions of the links in a block among all blocks of the text, for `parseBlock`. */
export function createFinder (blocks: string[]) {
  const definitions = new Map<string, string>()
  for (const block of blocks) {
    const [, label] = DEFINITION.exec(block) ?? []
    if (label !== undefined && definitions.size < MOST_DEFINITIONS && !definitions.has(named(label))) definitions.set(named(label), block)
  }

  return function definitionsFor (block: string): string {
    if (definitions.size === 0) return ''
    return Array.from(new Set(Array.from(block.matchAll(REFERENCE), ([, label]) => definitions.get(named(label!)) ?? ''))).join('\n')
  }
}

const named = (label: string) => label.replaceAll(/\s+/g, ' ').toLowerCase()

/**
 * Parses one block, with its inline text. `definitions` are those of its links, which are other blocks. Undefined if it is nested too
 * deeply, or if the parser throws.
 */
export function parseBlock (raw: string, definitions = ''): Token[] | undefined {
  return TOO_DEEP.test(raw) ? undefined : attempt(() => read(raw, definitions), undefined)
}

function read (raw: string, definitions: string) {
  const lexer = createLexer()
  lexer.blockTokens(definitions)
  const blocks = lexer.blockTokens(raw)
  for (const { src, tokens } of lexer.inlineQueue) {
    if (src.length > MOST_IN_RUN) tokens.push({ type: 'text', raw: src, text: src })
    else lexer.inlineTokens(src, tokens)
  }
  return blocks
}

/**
 * The parser, which gets only as much of a text as it needs. By itself it reads the rest of the text for each line that may begin a quote,
 * a heading or a table, so that its time grows with the square of the length: a reply of 100 kB could take it ten seconds.
 */
function createLexer () {
  const tokenizer = new Tokenizer()
  const { blockquote, escape, lheading, paragraph, table } = tokenizer
  tokenizer.escape = text => formulaIn(text) ?? escape.call(tokenizer, text)
  tokenizer.blockquote = text => blockquote.call(tokenizer, beginning(text, MOST_IN_BLOCK))
  tokenizer.lheading = text => lheading.call(tokenizer, beginning(text, MOST_IN_HEADING))
  tokenizer.paragraph = text => paragraph.call(tokenizer, beginning(text, MOST_IN_BLOCK))
  tokenizer.table = text => {
    const [firstTwoLines] = /^[^\n]*\n?[^\n]*/.exec(text)!
    const empty = table.call(tokenizer, firstTwoLines)
    if (!empty) return empty
    const [raw] = tokenizer.rules.block.table.exec(text)!
    if (raw.split('\n').length * empty.header.length <= MOST_CELLS) return table.call(tokenizer, raw)
    return { type: 'paragraph', raw, text: raw, tokens: [{ type: 'text', raw, text: raw }] } as unknown as Tokens.Table
  }
  return new Lexer({ ...getDefaults(), tokenizer })
}

/** A formula in LaTeX at the beginning of a text, between \( and \) or \[ and \]. Its backslashes, * and _ are not Markdown. */
function formulaIn (text: string): Tokens.Escape | undefined {
  const end = text.startsWith('\\(') ? text.indexOf('\\)') : text.startsWith('\\[') ? text.indexOf('\\]') : -1
  const raw = text.slice(0, end + 2)
  return end === -1 ? undefined : { type: 'escape', raw, text: raw }
}

/** The first lines of a text: as many as have this many characters. */
function beginning (text: string, characters: number) {
  const end = text.indexOf('\n', characters)
  return end === -1 ? text : text.slice(0, end + 1)
}

/** Returns `otherwise` if the parser throws. */
function attempt<T> (read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
