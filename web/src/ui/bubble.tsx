import type { ReactNode } from 'react'
import { momentOf, timeOf } from './time.js'

interface BubbleProps { who: string, at: string, isMine: boolean, isBot?: boolean, note?: ReactNode, actions?: ReactNode, children: ReactNode, id?: number | undefined }

/** Something that somebody said, and when. */
export function Bubble ({ who, at, isMine, isBot = false, note, actions, children, id }: BubbleProps) {
  return (
    <article className={`message ${isMine ? 'mine' : isBot ? 'bot' : 'theirs'}`} data-id={id}>
      <header className='message-head'>
        <span className='who'>{who}</span> <time dateTime={at} title={momentOf(at)}>{timeOf(at)}</time>
      </header>
      <div className='bubble'>{children}</div>
      {(note ?? actions) !== undefined && <footer className='message-foot'>{note}{actions}</footer>}
    </article>
  )
}
