import type { SessionUser, Sessions } from '../../accounts/sessions.ts'
import { CONVERSATION_NOT_FOUND, UNAUTHORIZED, UNAVAILABLE } from '../../errors.ts'
import type { Events } from '../../log/followers.ts'
import type { Change } from '../../log/feed-store.ts'
import type { Message } from '../../log/message.ts'

/** Whether a reply is streaming or queued. */
export const isUnderWay = ({ status }: Pick<Message, 'status'>) => status === 'streaming' || status === 'queued'

/** Who waits. Those who chat by phone number have no session. */
export type Waiting = Pick<SessionUser, 'id'> & Partial<Pick<SessionUser, 'sessionId'>>

/** Waits for replies to end, for clients that want whole answers. */
export function createEndings (events: Pick<Events, 'changed' | 'follow' | 'settle'>, sessions: Pick<Sessions, 'watch'>) {
  const waiting = new Set<() => void>()
  let isClosing = false

  return {
    /**
     * Waits until none of these messages is streaming or queued, and gives all of them as they are then.
     * @throws CONVERSATION_NOT_FOUND when the user is no longer a member, UNAUTHORIZED when their session has ended, UNAVAILABLE
     * when the server closes first
     */
    async ended ({ id: user, sessionId }: Waiting, conversation: number, messages: Message[]): Promise<Message[]> {
      const known = new Map(messages.map(message => [message.id, message]))
      const haveEnded = () => ![...known.values()].some(isUnderWay)
      if (haveEnded()) return messages
      const after = Math.max(...messages.map(({ rev }) => rev))
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const follower = { user, after, hear, leave: () => reject(new CONVERSATION_NOT_FOUND()) }
      const unfollow = events.follow(conversation, follower)
      const forget = sessionId === undefined ? undefined : sessions.watch(sessionId, logOut)
      waiting.add(giveUp)
      /* c8 ignore next -- takes a message that is answered in the moment in which the server closes */
      if (isClosing) giveUp()
      await promise.finally(() => {
        unfollow()
        forget?.()
        waiting.delete(giveUp)
      })
      return [...known.values()]

      function hear ({ author, clientId, ...message }: Change) {
        if (known.has(message.id)) known.set(message.id, message)
        if (haveEnded()) resolve()
      }

      /** A session also ends because its account was deleted. Then the user is no longer a member, which one more read finds out. */
      async function logOut () {
        events.changed(conversation)
        await events.settle()
        reject(new UNAUTHORIZED())
      }

      function giveUp () {
        reject(new UNAVAILABLE())
      }
    },

    /** Rejects all waiting calls. Clients then ask another instance. */
    close () {
      isClosing = true
      for (const giveUp of [...waiting]) giveUp()
    }
  }
}
