import { useSyncExternalStore } from 'react'

/** Whether the browser shows this page, rather than another tab. */
export function useIsVisible () {
  return useSyncExternalStore(changed => {
    document.addEventListener('visibilitychange', changed)
    return () => document.removeEventListener('visibilitychange', changed)
  }, () => document.visibilityState === 'visible')
}
