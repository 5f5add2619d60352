import { createHmac } from 'node:crypto'
import { isSameSecret } from '../../text/same-secret.ts'

const FORM = /^sha256=([0-9a-f]{64})$/

/** The value of `X-Hub-Signature-256`: an HMAC with the app's secret over the exact bytes of the body. */
export function sign (body: Buffer | string, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
}

/** Whether a header has the form of a signature. */
export function hasSignature (header: unknown): header is string {
  return typeof header === 'string' && FORM.test(header)
}

/** Whether the body was signed with this secret. Compared in constant time. */
export function isSigned (body: Buffer, signature: string, secret: string): boolean {
  return isSameSecret(signature, sign(body, secret))
}

/** Whether both tokens are given and equal. Compared in constant time. */
export function isToken (given: string | undefined, agreed: string | undefined): boolean {
  return given !== undefined && agreed !== undefined && isSameSecret(given, agreed)
}
