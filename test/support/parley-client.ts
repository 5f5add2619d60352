import type { Test } from 'tap'
import { createClient, type ClientOptions } from '../../client/index.ts'
import type { ConversationState, LiveConversation } from '../../client/index.ts'

// Our own client against real servers.

export const PASSWORD = 'correct horse'

/** A client that is closed when the test ends. */
export function clientAt (t: Test, url: string, options: ClientOptions = {}) {
  const client = createClient({ url, ...options })
  t.teardown(() => client.close())
  return client
}

/** The same, of a user who is signed in. */
export async function signedIn (t: Test, url: string, username = 'ann', options: ClientOptions = {}) {
  const client = clientAt(t, url, options)
  await client.signIn({ username, password: PASSWORD })
  return client
}

interface Followed<State> { readonly state: State, follow: (listener: (state: State) => void) => () => void }

/** Resolves to the state when the condition holds, as a front end sees it: without polling. */
export async function when<State> (followed: Followed<State>, isSo: (state: State) => unknown): Promise<State> {
  const { promise, resolve } = Promise.withResolvers<State>()
  const unfollow = followed.follow(state => { if (isSo(state)) resolve(state) })
  return await promise.finally(unfollow)
}

export const said = ({ messages }: Pick<ConversationState, 'messages'>) => messages.map(({ text, status }) => status === 'complete' ? text : `${text} (${status})`)
export const waiting = ({ unsent }: Pick<ConversationState, 'unsent'>) => unsent.map(({ text, status }) => `${text} (${status})`)

/** Follows a conversation until the test ends. */
export function watch (t: Test, conversation: LiveConversation) {
  t.teardown(conversation.follow(() => {}))
  return conversation
}
