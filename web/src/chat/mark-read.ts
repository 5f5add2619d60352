import { useEffect } from 'react'
import type { useConversation } from 'parley/react'
import { useIsVisible } from '../ui/visible.ts'

/**
 * Tells the server what the user has read: everything that is loaded of the open conversation, while the page is in view. What could not
 * be told because the connection was lost is told when it is back.
 */
export function useMarkRead ({ messages, connection, markRead }: Pick<ReturnType<typeof useConversation>, 'messages' | 'connection' | 'markRead'>, isUnread: boolean) {
  const isVisible = useIsVisible()
  const rev = Math.max(0, ...messages.map(({ rev }) => rev))
  const isLive = connection === 'live'
  useEffect(() => {
    if (isVisible && isUnread && isLive) markRead().catch(() => { /* the next change tells it again */ })
  }, [rev, isLive, isUnread, isVisible])
}
