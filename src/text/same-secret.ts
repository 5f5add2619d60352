import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Whether two secrets are equal, such as a token that a client sent and the one in the settings. Both are hashed first, so
 * that the time this takes tells neither where they differ nor how long the expected one is.
 */
export function isSameSecret (given: string | Buffer, expected: string | Buffer): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

function digest (secret: string | Buffer) {
  return createHash('sha256').update(secret).digest()
}
