import type { JWTPayload } from 'jose'
import { Value } from 'typebox/value'
import { isStorable, nameIn } from '../../text/text.ts'
import type { ClaimNames } from '../../text/trusted-issuers.ts'
import { Email } from '../schema.ts'

/** A user's profile in a token. Fields that the token lacks, or that have a value that we cannot use, are undefined. */
export interface ExternalProfile {
  username: string | undefined
  name: string | undefined
  picture: string | undefined
  /** Only an address that the issuer says is verified. */
  email: string | undefined
  /** Undefined if no claim decides about admins. */
  isAdmin: boolean | undefined
  /** When the token was issued, by the issuer's clock. Undefined if it does not say so. */
  issuedAt: Date | undefined
}

/** How much an issuer's clock and ours may differ, in seconds. */
export const LEEWAY_SECONDS = 60

const MAX_URL_LENGTH = 2_000

/** Reads a profile from the claims of these names. `adminClaim`, as role=admin, is the claim and the value that make an admin. */
export function readProfile (payload: JWTPayload, names: ClaimNames, adminClaim: string | undefined): ExternalProfile {
  const textOf = (claim: string) => {
    const value = claimOf(payload, claim)
    return typeof value === 'string' && isStorable(value) ? value : undefined
  }
  const email = textOf(names.email ?? 'email')
  return {
    username: textOf(names.username ?? 'preferred_username'),
    name: nameIn(textOf(names.name ?? 'name') ?? ''),
    picture: pictureOf(textOf(names.picture ?? 'picture')),
    email: email !== undefined && payload['email_verified'] === true && Value.Check(Email, email) ? email : undefined,
    isAdmin: adminClaim === undefined ? undefined : hasValue(payload, adminClaim),
    issuedAt: payload.iat === undefined ? undefined : issuedAtOf(payload.iat)
  }
}

/** The claim with exactly this name, such as https://example.com/roles, or else the one at this path, such as realm_access.roles. */
export function claimOf (payload: object, name: string): unknown {
  if (Object.hasOwn(payload, name)) return (payload as Record<string, unknown>)[name]
  return name.split('.').reduce<unknown>((value, part) =>
    typeof value === 'object' && value !== null && Object.hasOwn(value, part) ? (value as Record<string, unknown>)[part] : undefined, payload)
}

/** Whether the id of a user or of a session can be stored. */
export function isClaimedId (value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 255 && isStorable(value)
}

/** Whether a claim, or an entry of one that is a list, has the value of a rule. Claims such as `admin: true` of Firebase are no strings, so they are compared as text. */
function hasValue (payload: object, rule: string) {
  const at = rule.lastIndexOf('=')
  const values = [claimOf(payload, rule.slice(0, at))].flat()
  return values.some(value => ['string', 'boolean', 'number'].includes(typeof value) && String(value) === rule.slice(at + 1))
}

/** A time far in the future, such as one in milliseconds, is cut: with it, all later tokens would look old. */
function issuedAtOf (iat: number) {
  return new Date(Math.max(0, Math.min(iat * 1000, Date.now() + LEEWAY_SECONDS * 1000)))
}

/** Only http and https addresses. A page shows the picture, and with a `javascript:` address it could be made to run code. */
function pictureOf (text: string | undefined) {
  const isAddress = text !== undefined && text.length <= MAX_URL_LENGTH && URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol)
  return isAddress ? text : undefined
}
