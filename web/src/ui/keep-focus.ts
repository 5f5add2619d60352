/** Where the focus goes when the element that had it is removed. `data-focus-fallback` marks an element as such. */
const FALLBACK = '[data-focus-fallback]'

/** Fallbacks inside of an element with `data-focus-scope` only serve what was removed from inside of it. */
const SCOPE = '[data-focus-scope]'

/** How long a screen may take to load after the focused element has gone, in milliseconds. */
const PATIENCE_MS = 5_000

/**
 * Keeps the keyboard focus in place when the focused element disappears or is hidden, such as a Stop button when the reply
 * has been stopped, or the form of an edited message. Browsers then move the focus to the body, so that the next Tab starts
 * at the top of the page. Here it goes to the nearest fallback instead: of the element's ancestors that are still there,
 * from the inside out, the first that contains one. If there is none yet, because the next screen is still loading, it goes
 * there when the screen is shown, unless the user has done something in the meantime.
 *
 * After a tap nothing happens: to focus the composer would open the keyboard of a phone.
 */
export function keepFocus () {
  let path: Element[] = []
  let isByKeyboard = false
  let lostAt: number | undefined
  document.addEventListener('focusin', ({ target }) => {
    path = ancestorsOf(target as Element)
    isByKeyboard = path[0]!.matches(':focus-visible')
    lostAt = undefined
  })
  for (const event of ['keydown', 'pointerdown']) document.addEventListener(event, () => { if (lostAt !== undefined) path = [] }, true)
  const observer = new MutationObserver(() => {
    if (path[0] === undefined || path[0].checkVisibility() || hasFocus()) return
    lostAt ??= performance.now()
    const isWanted = isByKeyboard || window.matchMedia('(hover: hover)').matches
    if (!isWanted || performance.now() - lostAt > PATIENCE_MS) {
      path = []
      return
    }
    for (const ancestor of path.filter(({ isConnected }) => isConnected)) {
      const fallback = Array.from(ancestor.querySelectorAll<HTMLElement>(FALLBACK)).find(element => element.checkVisibility() && element.closest(SCOPE)?.contains(ancestor) !== false)
      if (fallback !== undefined) return fallback.focus()
    }
  })
  observer.observe(document.body, { childList: true, subtree: true })
}

function hasFocus () {
  const { activeElement } = document
  return activeElement !== null && activeElement !== document.body && activeElement.tagName !== 'DIALOG'
}

function ancestorsOf (element: Element) {
  const path: Element[] = []
  for (let at: Element | null = element; at !== null; at = at.parentElement) path.push(at)
  return path
}
