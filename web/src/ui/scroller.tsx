import { useCallback, useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react'
import { words } from '../words.ts'
import { Icon } from './icon.tsx'
import { createScrolling, type Scrolling } from './scrolling.ts'

interface ScrollerProps {
  label: string
  /** How many messages the user has sent here. Each further one scrolls to the end. */
  sent: number
  /** Called when the user gets close to the top. */
  onTop?: (() => void) | undefined
  children: ReactNode
}

/** A scrollable list of messages, oldest first. `createScrolling` describes how it keeps its position. */
export function Scroller ({ label, sent, onTop, children }: ScrollerProps) {
  const view = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const scrolling = useRef<Scrolling>(undefined)
  const [isFollowing, setIsFollowing] = useState(true)
  const top = useRef(onTop)
  useEffect(() => { top.current = onTop })

  useLayoutEffect(() => {
    scrolling.current = createScrolling(view.current!, content.current!, { onTop: () => top.current?.(), onFollowing: setIsFollowing })
    return scrolling.current.close
  }, [])
  useLayoutEffect(() => { if (sent > 0) scrolling.current!.toEnd() }, [sent])
  const toEnd = useCallback(() => {
    scrolling.current!.toEnd()
    view.current!.focus({ preventScroll: true }) // the button that had the focus disappears
  }, [])

  return (
    <div className='scroller'>
      <div ref={view} className='scroller-view' tabIndex={0} role='region' aria-label={label}>
        <div ref={content} className='scroller-content'>{children}</div>
      </div>
      {!isFollowing && <button className='to-end' onClick={toEnd}><Icon name='down' />{words.chat.toEnd}</button>}
    </div>
  )
}
