import { useEffect, useRef, useState, type ReactNode } from 'react'
import { words } from '../words.js'
import { Icon } from './icon.js'

/** So near to the end, in pixels, one reads what comes; so near to the top, more is fetched. */
const NEAR_END = 60
const NEAR_TOP = 600

interface ScrollerProps { label: string, onTop?: (() => void) | undefined, children: ReactNode }

/**
 * Messages, oldest first. Who is at the end stays there while it grows; for everybody else what they read stays where
 * it is, whatever is added above or below, and a button leads to the newest.
 */
export function Scroller ({ label, onTop, children }: ScrollerProps) {
  const view = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const [isAtEnd, setIsAtEnd] = useState(true)
  const place = useRef<Place>({ isAtEnd: true })
  const top = useRef(onTop)
  useEffect(() => { top.current = onTop })

  useEffect(() => {
    const [scroller, inner] = [view.current!, content.current!]
    const settle = () => {
      const { isAtEnd, anchor } = place.current
      if (isAtEnd) scroller.scrollTop = scroller.scrollHeight
      else if (anchor?.element.isConnected) scroller.scrollTop += topOf(anchor.element) - anchor.top
      look()
    }
    const look = () => {
      place.current = placeOf(scroller, inner)
      setIsAtEnd(place.current.isAtEnd)
      if (scroller.scrollTop < NEAR_TOP) top.current?.()
    }
    // It reports between layout and paint, so that nothing jumps.
    const observer = new ResizeObserver(settle)
    observer.observe(inner)
    observer.observe(scroller)
    scroller.addEventListener('scroll', look, { passive: true })
    return () => {
      observer.disconnect()
      scroller.removeEventListener('scroll', look)
    }
  }, [])

  const toEnd = () => {
    place.current = { isAtEnd: true }
    view.current!.scrollTo({ top: view.current!.scrollHeight })
  }

  return (
    <div className='scroller'>
      <div ref={view} className='scroller-view' tabIndex={0} role='region' aria-label={label}>
        <div ref={content} className='scroller-content'>{children}</div>
      </div>
      {!isAtEnd && <button className='to-end' onClick={toEnd}><Icon name='down' />{words.chat.newest}</button>}
    </div>
  )
}

/** Where somebody reads: at the end, or at the first message that is in sight. */
interface Place { isAtEnd: boolean, anchor?: { element: Element, top: number } }

function placeOf (scroller: Element, content: Element): Place {
  const isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END
  const from = topOf(scroller)
  const element = Array.from(content.children).find(child => child.getBoundingClientRect().bottom > from)
  return element === undefined ? { isAtEnd } : { isAtEnd, anchor: { element, top: topOf(element) } }
}

function topOf (element: Element) {
  return element.getBoundingClientRect().top
}
