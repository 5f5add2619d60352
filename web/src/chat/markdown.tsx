import { memo, useEffect, useMemo, useState, type ReactNode } from 'react'
import type { MarkedToken, Token, Tokens } from 'marked'
import { words } from '../words.ts'
import { CopyButton } from '../ui/copy-button.tsx'
import { createFinder, createSplitter, parseBlock } from './blocks.ts'

// Renders the Markdown of bots as React elements. No HTML string is produced in between, so that nothing in a reply can
// run: HTML in the text is shown as text, and no images are loaded.

/** Schemes that links may have. A link with any other scheme, above all `javascript:`, is shown as text. */
const SAFE = /^(https?:|mailto:|tel:)/i

/** Parses only the blocks that have changed: while a reply is being written, the last one. */
export default function Markdown ({ text }: { text: string }) {
  const [split] = useState(createSplitter)
  const blocks = useMemo(() => split(text), [split, text])
  const definitionsFor = useMemo(() => createFinder(blocks), [blocks])
  return <div className='markdown'>{blocks.map((raw, at) => <Block key={at} raw={raw} definitions={definitionsFor(raw)} />)}</div>
}

const Block = memo(function Block ({ raw, definitions }: { raw: string, definitions: string }) {
  const tokens = parseBlock(raw, definitions)
  return tokens === undefined ? <p className='plain' dir='auto'>{raw}</p> : <>{show(tokens)}</>
})

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
  const address = withoutEntities(href)
  return SAFE.test(address) ? <a href={address} target='_blank' rel='noopener noreferrer'>{children}</a> : <span>{children}</span>
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

const ENTITIES = new Map(Object.entries({ amp: '&', lt: '<', gt: '>', quot: '"', apos: '\'', nbsp: '\u00a0', copy: '©', hellip: '…', mdash: '—', ndash: '–' }))

/** Decodes the character references that bots use. Others stay as they are. */
function withoutEntities (text: string) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (raw, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES.get(name) ?? raw
    const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : raw
  })
}
