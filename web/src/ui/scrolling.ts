/** Scrolling down to this many pixels from the end starts following again; this close to the top, older messages are loaded. */
const NEAR_END_PX = 60
const NEAR_TOP_PX = 600

/** How long after an event from wheel, touch, mouse or keyboard a scroll still counts as caused by it, in milliseconds. */
const INPUT_LASTS_MS = 1_000

const KEYS_UP = new Set(['ArrowUp', 'PageUp', 'Home'])

export type Scrolling = ReturnType<typeof createScrolling>

interface ScrollingEvents { onTop: () => void, onFollowing: (isFollowing: boolean) => void }

/**
 * Keeps the position of a growing list of messages.
 *
 * While it follows the end, the newest message stays in view, whatever is added or resized. Otherwise the message that
 * the user reads keeps its place on the screen, also when older messages are inserted above it.
 *
 * Only the user's own scrolling stops following. A scroll event does not say who caused it: it also comes, later, after
 * we set `scrollTop`, and when the browser reduces `scrollTop` because the content or the composer changed its height.
 * If the content has grown by then, the view looks scrolled up although nobody did it. So a scroll event only counts as
 * the user's if it moved the view up, and if either the user just touched the list or nothing has changed its size.
 *
 * The package use-stick-to-bottom was read: it stops following when the composer gets smaller after a message was
 * sent, it does not notice when the composer grows, and it has nothing for messages that are inserted above.
 */
export function createScrolling (view: HTMLElement, content: HTMLElement, { onTop, onFollowing }: ScrollingEvents) {
  let isFollowing = true
  let inputAt = -Infinity
  /** When the user asked for the end, or the list last went on moving up after that, as it does for a while after a finger has left it. */
  let momentumAt = -Infinity
  /** What the user has just opened or closed, such as the reasoning of a reply, until the list has its new size. */
  let toggled: Element | null = null
  let seen = look()

  /** What the view looked like when it was last put in order. */
  function look () {
    const { scrollTop, scrollHeight, clientHeight } = view
    const edge = topOf(view)
    // The button for older messages cannot be the anchor: it stays at the top, above the messages that are inserted.
    const anchor = Array.from(content.children).find(child => !child.matches('button') && child.getBoundingClientRect().bottom > edge)
    return { scrollTop, scrollHeight, clientHeight, anchor, anchorTop: anchor === undefined ? 0 : topOf(anchor) }
  }

  function follow (next: boolean) {
    if (next === isFollowing) return
    isFollowing = next
    onFollowing(next)
  }

  const settle = () => {
    const { anchor, anchorTop, scrollTop } = seen
    if (isFollowing) view.scrollTop = view.scrollHeight
    else if (anchor?.isConnected) view.scrollTop += topOf(anchor) - anchorTop + view.scrollTop - scrollTop
    if (toggled !== null) {
      // Following the end must not take away what the user has opened to read.
      if (isFollowing && topOf(toggled) < topOf(view)) view.scrollTop = scrollTop
      follow(view.scrollHeight - view.clientHeight - view.scrollTop <= 1)
      toggled = null
    }
    seen = look()
    if (view.scrollTop < NEAR_TOP_PX) onTop()
  }

  const onScroll = () => {
    const moved = view.scrollTop - seen.scrollTop
    const isResized = view.scrollHeight !== seen.scrollHeight || view.clientHeight !== seen.clientHeight
    const toEnd = view.scrollHeight - view.clientHeight - view.scrollTop
    // The end as the user saw it: a reply that is being written may have moved it since.
    const toSeenEnd = seen.scrollHeight - seen.clientHeight - view.scrollTop
    const hasLeftEnd = isFollowing && moved < 0 && toEnd > 1
    if (hasLeftEnd && isRecent(momentumAt)) {
      momentumAt = performance.now()
      return settle()
    }
    if (hasLeftEnd && (!isResized || isRecent(inputAt))) follow(false)
    else if (!isFollowing && moved > 0 && Math.min(toEnd, toSeenEnd) < NEAR_END_PX) follow(true)
    if (isResized) return settle()
    seen = look()
    if (view.scrollTop < NEAR_TOP_PX) onTop()
  }

  /** The browser drops the user's scrolling if we set `scrollTop` before it has moved: stop following before that. */
  const onWheel = ({ deltaY }: WheelEvent) => { onInput(deltaY < 0) }
  const onKey = ({ key, shiftKey, target }: KeyboardEvent) => {
    if (target instanceof HTMLTextAreaElement) return
    if (KEYS_UP.has(key) || (key === ' ' && shiftKey && target === view)) onInput(true)
    else if (key === 'Tab') onInput(false)
    else if (key === 'End') toEnd()
  }
  let fingerAt = 0
  const onTouchStart = ({ touches }: TouchEvent) => { fingerAt = touches[0]!.clientY }
  const onTouchMove = ({ touches }: TouchEvent) => {
    const { clientY } = touches[0]!
    onInput(clientY > fingerAt) // the list follows the finger: downward shows what is further up
    fingerAt = clientY
  }
  const onClick = ({ target }: Event) => { toggled = (target as Element).closest('summary') }
  const onPointer = ({ buttons }: PointerEvent) => { if (buttons !== 0) onInput(false) }
  function onInput (isUp: boolean) {
    inputAt = performance.now()
    momentumAt = -Infinity
    if (isUp && view.scrollTop > 0) follow(false)
  }

  function toEnd () {
    inputAt = -Infinity // what the user did before asked for another place
    momentumAt = performance.now()
    follow(true)
    settle()
  }

  // A ResizeObserver reports between layout and paint, so that the user never sees the view before it is put in order.
  const observer = new ResizeObserver(settle)
  observer.observe(content)
  observer.observe(view)
  const listening = new AbortController()
  const options = { passive: true, signal: listening.signal }
  view.addEventListener('scroll', onScroll, options)
  view.addEventListener('wheel', onWheel, options)
  view.addEventListener('touchstart', onTouchStart, options)
  view.addEventListener('touchmove', onTouchMove, options)
  view.addEventListener('pointerdown', onPointer, options)
  view.addEventListener('pointermove', onPointer, options)
  view.addEventListener('keydown', onKey, options)
  view.addEventListener('click', onClick, options)

  return {
    toEnd,
    close () {
      observer.disconnect()
      listening.abort()
    }
  }
}

const isRecent = (time: number) => performance.now() - time < INPUT_LASTS_MS

const topOf = (element: Element) => element.getBoundingClientRect().top
