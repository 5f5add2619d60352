import type { ReactNode } from 'react'
import { momentOf, timeOf } from './time.ts'

interface BubbleProps { who: string, at: string, isMine: boolean, isBot?: boolean, note?: ReactNode, actions?: ReactNode, children: ReactNode }

/** One message: who wrote it and when, its text, and below it a note and buttons. */
export function Bubble ({ who, at, isMine, isBot = false, note, actions, children }: BubbleProps) {
  return (
    <article className={`message ${isMine ? 'mine' : isBot ? 'bot' : 'theirs'}`}>
      <header className='message-head'>
        <span className='who' dir='auto'>{who}</span> <time dateTime={at} title={momentOf(at)}>{timeOf(at)}</time>
      </header>
      <div className='bubble'>{children}</div>
      {(note ?? actions) !== undefined && <footer className='message-foot'>{note}{actions}</footer>}
    </article>
  )
}
