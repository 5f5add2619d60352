import { useEffect, useRef } from 'react'
import { api, ask } from '../api/client.ts'
import { useConversations } from '../api/queries.ts'
import { useIsVisible } from '../ui/visible.ts'

/** Tells the server what the user has read: everything up to `rev` of the open conversation, while the page is in view. */
export function useMarkRead (id: number, rev: number) {
  const isVisible = useIsVisible()
  const { data: conversations } = useConversations()
  const isUnread = (conversations?.find(conversation => conversation.id === id)?.unread ?? 0) > 0
  const sent = useRef(0)
  useEffect(() => {
    if (!isVisible || !isUnread || rev <= sent.current) return
    sent.current = rev
    ask(api.PUT('/api/conversations/{id}/read', { params: { path: { id } }, body: { rev } })).catch(() => { sent.current = 0 })
  }, [id, rev, isUnread, isVisible])
}
