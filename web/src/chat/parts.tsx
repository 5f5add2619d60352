import { Fragment, type ComponentType } from 'react'
import type { Part } from 'parley'
import { words } from '../words.ts'

export interface Choice { id: string, title: string }

interface PartsProps {
  parts: Part[]
  /** Shows a text. */
  Text: ComponentType<{ text: string }>
  /** Answers with one of the choices. Left out when the choices cannot be chosen any more. */
  onChoose?: ((choice: Choice) => void) | undefined
}

/** What a bot's message is made of, in its order; the sources come last. Data is for other front ends and not shown. */
export function Parts ({ parts, Text, onChoose }: PartsProps) {
  const sources = parts.filter(({ type }) => type === 'source')
  return (
    <div className='parts'>
      {parts.map((part, at) => <Fragment key={at}>{show(part)}</Fragment>)}
      {sources.length > 0 && (
        <ul className='sources' aria-label={words.chat.sources}>
          {sources.map(({ url, title }, at) => <li key={at}><a href={url} target='_blank' rel='noopener noreferrer' dir='auto'>{title}</a></li>)}
        </ul>
      )}
    </div>
  )

  function show ({ type, text = '', choices = [] }: Part) {
    if (type === 'text') return <Text text={text} />
    if (type === 'reasoning') return <details className='reasoning'><summary>{words.chat.reasoning}</summary><p className='plain' dir='auto'>{text.trimEnd()}</p></details>
    if (type !== 'choices') return null
    return (
      <ul className='choices' aria-label={words.chat.choices}>
        {choices.map(({ id, title }) => (
          <li key={id}>{onChoose === undefined ? <span className='choice' dir='auto'>{title}</span> : <button className='button choice' dir='auto' onClick={() => onChoose({ id, title })}>{title}</button>}</li>
        ))}
      </ul>
    )
  }
}
