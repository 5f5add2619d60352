import { useEffect } from 'react'
import { useConversation } from 'parley/react'
import { useIsVisible } from '../ui/visible.ts'

/** Tells the server what the user has read: everything that is loaded of the open conversation, while the page is in view. */
export function useMarkRead ({ messages, isLoaded, markRead }: Pick<ReturnType<typeof useConversation>, 'messages' | 'isLoaded' | 'markRead'>, isUnread: boolean) {
  const isVisible = useIsVisible()
  const rev = Math.max(0, ...messages.map(({ rev }) => rev))
  useEffect(() => {
    if (isVisible && isUnread && isLoaded) markRead().catch(() => { /* the next change tells it again */ })
  }, [rev, isLoaded, isUnread, isVisible])
}
