import { memo, useEffect, useMemo, useState, type ReactNode } from 'react'
import { getDefaults, Lexer, Tokenizer, type MarkedToken, type Token, type Tokens } from 'marked'
import { words } from '../words.ts'
import { CopyButton } from '../ui/copy-button.tsx'

// Renders the Markdown of bots as React elements. No HTML string is produced in between, so that nothing in a reply can
// run: HTML in the text is shown as text, and no images are loaded.

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

/** Schemes that links may have. A link with any other scheme, above all `javascript:`, is shown as text. */
const SAFE = /^(https?:|mailto:|tel:)/i

/** Parses only the blocks that have changed: while a reply is being written, the last one. */
export default function Markdown ({ text }: { text: string }) {
  const blocks = useMemo(() => blocksOf(text.replaceAll(/\r\n?/g, '\n')), [text]) // the parser knows no other ends of lines
  return <div className='markdown'>{blocks.map((raw, at) => <Block key={at} raw={raw} />)}</div>
}

const Block = memo(function Block ({ raw }: { raw: string }) {
  const tokens = TOO_DEEP.test(raw) ? undefined : attempt(() => read(raw))
  return tokens === undefined ? <p className='plain' dir='auto'>{raw}</p> : <>{show(tokens)}</>
})

/** Splits a text into blocks, without parsing their inline text. */
function blocksOf (text: string): string[] {
  if (TOO_DEEP.test(text)) return text.split(/(?<=\n)\n+/)
  return attempt(() => createLexer().blockTokens(text).map(({ raw }) => raw)) ?? [text]
}

function read (raw: string) {
  const lexer = createLexer()
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
  const { blockquote, lheading, paragraph, table } = tokenizer
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

/** The first lines of a text: as many as have this many characters. */
function beginning (text: string, characters: number) {
  const end = text.indexOf('\n', characters)
  return end === -1 ? text : text.slice(0, end + 1)
}

/** If the parser throws, the text is shown unformatted. */
function attempt<T> (read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/**
 * A quote or a list has the writing direction of its text. Browsers find it by `dir=auto`, but skip children that have a
 * `dir` themselves, so paragraphs that are `inside` of one have none.
 */
const show = (tokens: Token[] | undefined, isInside = false): ReactNode =>
  (tokens as MarkedToken[] | undefined)?.map((token, at) => <Piece key={at} token={token} isInside={isInside} />)

function Piece ({ token, isInside }: { token: MarkedToken, isInside: boolean }): ReactNode {
  switch (token.type) {
    case 'paragraph': return <p dir={isInside ? undefined : 'auto'}>{show(token.tokens)}</p>
    case 'heading': return <p dir='auto' className={`heading level-${token.depth}`} role='heading' aria-level={Math.min(6, token.depth + 2)}>{show(token.tokens)}</p>
    case 'code': return <Code text={token.text} language={token.lang} />
    case 'blockquote': return <blockquote dir='auto'>{show(token.tokens, true)}</blockquote>
    case 'list': return token.ordered ? <ol dir='auto' start={Number(token.start)}>{items(token)}</ol> : <ul dir='auto'>{items(token)}</ul>
    case 'table': return <Table table={token} />
    case 'hr': return <hr />
    case 'strong': return <strong>{show(token.tokens)}</strong>
    case 'em': return <em>{show(token.tokens)}</em>
    case 'del': return <del>{show(token.tokens)}</del>
    case 'codespan': return <code>{token.text}</code>
    case 'br': return <br />
    case 'link': return <Link href={token.href}>{show(token.tokens)}</Link>
    // A link instead of the image: loading it would tell its server who reads the message and when.
    case 'image': return <Link href={token.href}>{token.text || words.chat.picture}</Link>
    case 'checkbox': return <input type='checkbox' checked={token.checked} readOnly aria-label={words.chat.task} />
    case 'text': return token.tokens === undefined ? withoutEntities(token.text) : show(token.tokens)
    // Formulas in LaTeX begin with \( or \[: without the backslash, nobody could tell them from brackets.
    case 'escape': return '()[]'.includes(token.text) ? token.raw : token.text
    case 'space': case 'def': return null
    default: return token.raw
  }
}

const items = ({ items }: Tokens.List) => items.map((item, at) => <li key={at} className={item.task ? 'task' : undefined}>{show(item.tokens, true)}</li>)

function Link ({ href, children }: { href: string, children: ReactNode }) {
  return SAFE.test(href) ? <a href={href} target='_blank' rel='noopener noreferrer'>{children}</a> : <span>{children}</span>
}

/** From this many characters in a cell on, its column gets a width in which a sentence can be read. */
const LONG_CELL = 24

/** Words in a table are never broken: one that is wider than the screen scrolls sideways. */
function Table ({ table: { header, rows } }: { table: Tokens.Table }) {
  const classes = header.map((cell, column) => [
    cell.align, [cell, ...rows.map(row => row[column]!)].some(({ text }) => text.length > LONG_CELL) && 'long'
  ].filter(Boolean).join(' '))
  return (
    <div className='table' tabIndex={0} role='group' aria-label={words.chat.table}>
      <table>
        <thead><tr>{header.map((cell, at) => <th key={at} dir='auto' scope='col' className={classes[at]}>{show(cell.tokens)}</th>)}</tr></thead>
        <tbody>
          {rows.map((row, at) => <tr key={at}>{row.map((cell, at) => <td key={at} dir='auto' className={classes[at]}>{show(cell.tokens)}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  )
}

/** The highlighter is loaded with the first code. Without it, code is shown without colors. */
const highlighter = () => import('./highlight.ts').catch(() => undefined)

function Code ({ text, language }: { text: string, language: string | undefined }) {
  const [highlight, setHighlight] = useState<Awaited<ReturnType<typeof highlighter>>>()
  useEffect(() => { if (language) highlighter().then(setHighlight) }, [language])
  const tokens = useMemo(() => language ? highlight?.tokensOf(text, language.split(/\s/, 1)[0]!.toLowerCase()) : undefined, [highlight, language, text])
  return (
    <figure className='code'>
      <figcaption>
        <span>{language}</span>
        <CopyButton text={text} label={words.chat.copyCode} />
      </figcaption>
      <pre dir='ltr' tabIndex={0}><code>{tokens?.map(({ text, classes }, at) => classes === '' ? text : <span key={at} className={classes}>{text}</span>) ?? text}</code></pre>
    </figure>
  )
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: '\'', nbsp: '\u00a0', copy: '©', hellip: '…', mdash: '—', ndash: '–' }

/** Decodes the character references that bots use. Others stay as they are. */
function withoutEntities (text: string) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (raw, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? raw
    const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : raw
  })
}
