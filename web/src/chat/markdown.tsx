import { memo, useMemo, useState, type ReactNode } from 'react'
import { Lexer, type MarkedToken, type Token, type Tokens } from 'marked'
import { words } from '../words.js'
import { Icon } from '../ui/icon.js'

// What a bot says, as the elements that its markdown stands for: there is no HTML in between that could run, HTML in the
// text is text, and nothing is loaded from anywhere.

/** A run of text that is longer is taken as it is: to look for all that may be meant in it could take for ever. */
const MOST_IN_RUN = 5_000

/** Quotes and lists inside of each other, deeper than anybody writes them. */
const TOO_DEEP = /^[ \t]*(?:(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])[ \t]*){40}/m

/** What a link may lead to; everything else, `javascript:` first of all, is text. */
const SAFE = /^(https?:|mailto:|tel:)/i

/** Only the blocks that changed are read again: while a reply grows, the last one. */
export default function Markdown ({ text }: { text: string }) {
  const blocks = useMemo(() => blocksOf(text), [text])
  return <div className='markdown'>{blocks.map((raw, at) => <Block key={at} raw={raw} />)}</div>
}

const Block = memo(function Block ({ raw }: { raw: string }) {
  const tokens = TOO_DEEP.test(raw) ? undefined : attempt(() => read(raw))
  return tokens === undefined ? <p className='plain'>{raw}</p> : <>{show(tokens)}</>
})

/** The blocks of a text, without reading what is inside of them. */
function blocksOf (text: string): string[] {
  if (TOO_DEEP.test(text)) return text.split(/(?<=\n)\n+/)
  return attempt(() => new Lexer().blockTokens(text).map(({ raw }) => raw)) ?? [text]
}

function read (raw: string) {
  const lexer = new Lexer()
  const blocks = lexer.blockTokens(raw)
  for (const { src, tokens } of lexer.inlineQueue) {
    if (src.length > MOST_IN_RUN) tokens.push({ type: 'text', raw: src, text: src })
    else lexer.inlineTokens(src, tokens)
  }
  return blocks
}

/** Whatever else a text is too much for, it is shown as it is. */
function attempt<T> (read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

const show = (tokens: Token[] | undefined): ReactNode => (tokens as MarkedToken[] | undefined)?.map((token, at) => <Piece key={at} token={token} />)

function Piece ({ token }: { token: MarkedToken }): ReactNode {
  switch (token.type) {
    case 'paragraph': return <p>{show(token.tokens)}</p>
    case 'heading': return <p className={`heading level-${token.depth}`} role='heading' aria-level={Math.min(6, token.depth + 2)}>{show(token.tokens)}</p>
    case 'code': return <Code text={token.text} language={token.lang} />
    case 'blockquote': return <blockquote>{show(token.tokens)}</blockquote>
    case 'list': return token.ordered ? <ol start={Number(token.start)}>{items(token)}</ol> : <ul>{items(token)}</ul>
    case 'table': return <Table table={token} />
    case 'hr': return <hr />
    case 'strong': return <strong>{show(token.tokens)}</strong>
    case 'em': return <em>{show(token.tokens)}</em>
    case 'del': return <del>{show(token.tokens)}</del>
    case 'codespan': return <code>{token.text}</code>
    case 'br': return <br />
    case 'link': return <Link href={token.href}>{show(token.tokens)}</Link>
    // A picture tells who wrote the bot's text when somebody reads it: it is a link.
    case 'image': return <Link href={token.href}>{token.text || words.chat.picture}</Link>
    case 'checkbox': return <input type='checkbox' checked={token.checked} readOnly aria-label={words.chat.task} />
    case 'text': return token.tokens === undefined ? withoutEntities(token.text) : show(token.tokens)
    case 'escape': return token.text
    case 'space': case 'def': return null
    default: return token.raw
  }
}

const items = ({ items }: Tokens.List) => items.map((item, at) => <li key={at} className={item.task ? 'task' : undefined}>{show(item.tokens)}</li>)

function Link ({ href, children }: { href: string, children: ReactNode }) {
  return SAFE.test(href) ? <a href={href} target='_blank' rel='noopener noreferrer'>{children}</a> : <span>{children}</span>
}

function Table ({ table: { header, rows } }: { table: Tokens.Table }) {
  return (
    <div className='table' tabIndex={0} role='group' aria-label={words.chat.table}>
      <table>
        <thead><tr>{header.map((cell, at) => <th key={at} scope='col' className={cell.align ?? undefined}>{show(cell.tokens)}</th>)}</tr></thead>
        <tbody>
          {rows.map((row, at) => <tr key={at}>{row.map((cell, at) => <td key={at} className={cell.align ?? undefined}>{show(cell.tokens)}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  )
}

function Code ({ text, language }: { text: string, language: string | undefined }) {
  const [isCopied, setIsCopied] = useState(false)
  async function copy () {
    await navigator.clipboard.writeText(text)
    setIsCopied(true)
    setTimeout(setIsCopied, 2_000, false)
  }
  return (
    <figure className='code'>
      <figcaption>
        <span>{language}</span>
        {/* Browsers have a clipboard only where the page comes by https, or from this machine. */}
        {window.isSecureContext && <button className='text-button' onClick={copy}><Icon name='copy' />{isCopied ? words.chat.copied : words.chat.copyCode}</button>}
      </figcaption>
      <pre tabIndex={0}><code>{text}</code></pre>
    </figure>
  )
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: '\'', nbsp: '\u00a0', copy: '©', hellip: '…', mdash: '—', ndash: '–' }

/** The character references that bots do use; any other stays as it is written. */
function withoutEntities (text: string) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (raw, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? raw
    const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : raw
  })
}
