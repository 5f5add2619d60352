import { ParleyError } from 'parley'
import { words } from '../words.ts'

/** A sentence for people: the page's own, if it has one for the code of the error, otherwise the server's. */
export function inWords (error: Error) {
  return (error instanceof ParleyError ? words.errors[error.code] : undefined) ?? error.message
}
