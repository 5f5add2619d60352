import { createHash } from 'node:crypto'
import { decodeJwt, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose'
import { UNAVAILABLE } from '../../errors.ts'
import type { TrustedIssuer } from '../../text/trusted-issuers.ts'
import { claimOf, isClaimedId, LEEWAY_SECONDS, readProfile, type ExternalProfile } from './claims.ts'
import type { KeySet } from './key-set.ts'

/** A session ends after this long, whatever its token says. */
const MAX_LIFETIME_SECONDS = 366 * 24 * 60 * 60

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/** Tokens of other types, such as logout tokens, do not authenticate anybody. */
const ACCESS_TOKEN_TYPES = new Set([undefined, 'jwt', 'at+jwt'])

/** What a valid token of another issuer says. */
export interface ExternalToken {
  issuer: string
  subject: string
  /** Identifies the session that the token belongs to: see `external_sessions`. */
  sessionKey: string
  endsAt: Date
  profile: ExternalProfile
}

interface VerifierOptions {
  issuers: TrustedIssuer[]
  adminClaim: string | undefined
  /** Makes the key set of an issuer that shares no secret with us. */
  keysOf: (issuer: TrustedIssuer) => KeySet
}

/**
 * Checks tokens of the trusted issuers. `verify` returns undefined for an invalid token, whatever is wrong with it.
 * It throws UNAVAILABLE when the issuer's keys could not be fetched yet.
 * @see RFC 7519, and RFC 8725 for what can go wrong
 */
export function createVerifier ({ issuers, adminClaim, keysOf }: VerifierOptions) {
  const byName = new Map(issuers.map(issuer => {
    const { secret } = issuer
    const keys = secret === undefined ? keysOf(issuer) : { keyOf: () => Buffer.from(secret), refresh: async () => false }
    return [issuer.issuer, { issuer, audience: [issuer.audience].flat(), keys, algorithms: secret === undefined ? ASYMMETRIC : ['HS256'] }]
  }))

  return async function verify (token: string): Promise<ExternalToken | undefined> {
    try {
      const claimed = decodeJwt(token)
      const known = byName.get(claimed.iss as string)
      if (known === undefined) return undefined
      const { issuer, audience, keys, algorithms } = known
      const check = async (keyOf: JWTVerifyGetKey) => await jwtVerify(token, keyOf, {
        algorithms,
        issuer: issuer.issuer,
        clockTolerance: LEEWAY_SECONDS,
        requiredClaims: ['exp', 'sub'],
        ...claimed.aud !== undefined && { audience }
      })
      const checkWithAll = async () => await check(async (header, token) => await keys.keyOf(header, token)).catch(error => checkWithEach(error, check))
      const { payload, protectedHeader } = await checkWithAll().catch(async error => {
        if (!fitsNoKey(error) || !await keys.refresh()) throw error
        return await checkWithAll()
      })
      if (!ACCESS_TOKEN_TYPES.has(protectedHeader.typ?.toLowerCase().replace(/^application\//, ''))) return undefined
      if (payload.aud === undefined && !audience.includes(payload['azp'] as string)) return undefined
      const { sub } = payload
      if (!isClaimedId(sub)) return undefined
      const endsAt = Math.min(payload.exp! + LEEWAY_SECONDS, Date.now() / 1000 + MAX_LIFETIME_SECONDS)
      return {
        issuer: issuer.issuer,
        subject: sub,
        sessionKey: sessionKeyOf(payload, issuer, token),
        endsAt: new Date(endsAt * 1000),
        profile: readProfile(payload, issuer.claims ?? {}, issuer.admin_claim ?? adminClaim)
      }
    } catch (error) {
      if (error instanceof UNAVAILABLE) throw error
      // The client learns that the token is invalid, but not why.
      return undefined
    }
  }
}

/** Checks a token that does not name its key, and fits several of the issuer's keys, with each of them. Throws any other error again. */
async function checkWithEach<Checked> (error: unknown, check: (keyOf: JWTVerifyGetKey) => Promise<Checked>): Promise<Checked> {
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    for await (const key of error) {
      const checked = await check(async () => key).catch(() => undefined)
      if (checked !== undefined) return checked
    }
  }
  throw error
}

/**
 * Whether the signature of a token fits none of the keys that we know. The issuer may have another key by now: without a key id in
 * its tokens, or if the new key has the id of the former one, only the signature shows it.
 */
function fitsNoKey (error: unknown) {
  return error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSMultipleMatchingKeys
}

/** If a token names a session of the issuer, all tokens with that name share one session (Supabase calls it `session_id`). Otherwise each token is a session of its own. */
function sessionKeyOf (payload: JWTPayload, { issuer, claims }: TrustedIssuer, token: string) {
  const names = claims?.session === undefined ? ['sid', 'session_id', 'jti'] : [claims.session]
  const name = names.find(name => isClaimedId(claimOf(payload, name)))
  const session = name === undefined ? ['', token] : [name, claimOf(payload, name)]
  return createHash('sha256').update(JSON.stringify([issuer, payload.sub, ...session])).digest('hex')
}
