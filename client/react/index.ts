import { createContext, createElement, useContext, useSyncExternalStore, type ReactNode } from 'react'
import type { ParleyClient } from '../client.ts'
import type { ConversationState, LiveConversation } from '../conversation.ts'
import type { ConversationsState, LiveConversations } from '../conversations.ts'
import type { Message } from '../shapes.ts'

// Hooks for React 18 and later. A connection is open while a component that uses it is shown; components that show the same
// conversation share one.

const Context = createContext<ParleyClient | undefined>(undefined)

/** Gives the client to all components inside. */
export function ParleyProvider ({ client, children }: { client: ParleyClient, children?: ReactNode }) {
  return createElement(Context, { value: client }, children)
}

export function useParley (): ParleyClient {
  const client = useContext(Context)
  if (client === undefined) throw new Error('Please put a <ParleyProvider client={…}> around this component')
  return client
}

/** The user's conversations, last used first, with what is unread. `more` loads older ones, `find` gives one by its id. */
export function useConversations (): ConversationsState & Pick<LiveConversations, 'more' | 'find'> {
  const conversations = useParley().conversations
  return { ...useFollowed(conversations, ({ state }) => state), more: conversations.more, find: conversations.find }
}

/** A conversation: its messages, what is unsent, and what can be done in it. */
export function useConversation (id: number): ConversationState & Omit<LiveConversation, 'id' | 'state' | 'follow' | 'resume' | 'reset' | 'close'> {
  const conversation = useParley().conversation(id)
  return { ...conversation, ...useFollowed(conversation, ({ state }) => state) }
}

/**
 * The newest reply of a conversation, as it is written; undefined before the first one. The component is rendered only when
 * this reply changes.
 */
export function useReply (id: number): { reply: Message | undefined, isReplying: boolean } & Pick<LiveConversation, 'send' | 'stop' | 'regenerate'> {
  const conversation = useParley().conversation(id)
  const reply = useFollowed(conversation, ({ state }) => state.messages.findLast(({ sender }) => sender === 'bot'))
  const isReplying = useFollowed(conversation, ({ state }) => state.isReplying)
  return { reply, isReplying, send: conversation.send, stop: conversation.stop, regenerate: conversation.regenerate }
}

function useFollowed<Followed extends { follow: (listener: () => void) => () => void }, Seen> (followed: Followed, see: (followed: Followed) => Seen): Seen {
  const get = () => see(followed)
  return useSyncExternalStore(followed.follow, get, get)
}
