import { ParleyError, type ConversationState } from 'parley'
import { words } from '../words.ts'

/** A sentence for people: the page's own, if it has one for the code of the error, otherwise the server's. */
export function inWords (error: Error) {
  return (error instanceof ParleyError ? words.errors[error.code] : undefined) ?? error.message
}

/** What the user has to be told. While the connection is lost, what was loaded before stays usable, and the page says that it is offline. */
export function problemOf ({ connection, isLoaded, error }: Pick<ConversationState, 'connection' | 'isLoaded' | 'error'>) {
  return connection === 'failed' || !isLoaded ? error : undefined
}
