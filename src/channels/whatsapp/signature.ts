import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

const FORM = /^sha256=([0-9a-f]{64})$/

/** What Meta puts into `X-Hub-Signature-256`: an HMAC with the app's secret over the body's very bytes. */
export function sign (body: Buffer | string, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
}

/** Whether whoever signed this body knows the secret; compared in constant time. */
export function isSigned (body: Buffer, signature: string | undefined, secret: string): boolean {
  if (signature === undefined || !FORM.test(signature)) return false
  return timingSafeEqual(Buffer.from(signature), Buffer.from(sign(body, secret)))
}

/** Whether this is the token that was agreed on, compared in constant time, whatever its length. */
export function isToken (given: string | undefined, agreed: string | undefined): boolean {
  if (given === undefined || agreed === undefined) return false
  return timingSafeEqual(digest(given), digest(agreed))
}

function digest (token: string) {
  return createHash('sha256').update(token).digest()
}
