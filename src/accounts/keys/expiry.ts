import { invalidRequest } from '../../http/faults.ts'

/** Reads when a key is to expire. @throws INVALID_REQUEST if that is no date of the calendar, or not in the future */
export function readExpiry (text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const expiresAt = new Date(text)
  // JavaScript takes the 30th of February for the 2nd of March.
  const isInCalendar = !Number.isNaN(expiresAt.getTime()) && expiresAt.toISOString().slice(0, 10) === text.slice(0, 10)
  if (!isInCalendar) throw invalidRequest([{ path: 'expires_at', message: 'must be a time that exists' }])
  if (expiresAt.getTime() <= Date.now()) throw invalidRequest([{ path: 'expires_at', message: 'must be a time in the future' }])
  return expiresAt
}
