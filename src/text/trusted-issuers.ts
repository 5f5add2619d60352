import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'

const NonEmpty = Type.String({ minLength: 1, maxLength: 1000 })
const OneOrMore = Type.Union([NonEmpty, Type.Array(NonEmpty, { minItems: 1 })])

/** The names of the claims that we read. A nested claim is named with dots, such as user_metadata.full_name. */
const ClaimNamesSchema = Type.Object({
  username: Type.Optional(NonEmpty),
  name: Type.Optional(NonEmpty),
  picture: Type.Optional(NonEmpty),
  email: Type.Optional(NonEmpty),
  session: Type.Optional(NonEmpty)
}, { additionalProperties: false })
export type ClaimNames = Static<typeof ClaimNamesSchema>

const IssuerSchema = Type.Object({
  issuer: NonEmpty,
  audience: OneOrMore,
  jwks: Type.Optional(NonEmpty),
  secret: Type.Optional(Type.String({ minLength: 32 })),
  claims: Type.Optional(ClaimNamesSchema),
  admin_claim: Type.Optional(Type.String({ pattern: /^.[^\n\r=\u2028\u2029]*=.+$/.source }))
}, { additionalProperties: false })

/**
 * Another issuer of tokens, whose users can use this server. Its public keys are at `jwks`, or at the address in its OpenID
 * configuration. With a `secret`, it signs with that instead.
 */
export type TrustedIssuer = Static<typeof IssuerSchema>

/** Reads TRUSTED_ISSUERS, a list in JSON; undefined when it is not valid. */
export function readTrustedIssuers (text: string): TrustedIssuer[] | undefined {
  const list = parsed(text)
  if (!Value.Check(Type.Array(IssuerSchema), list)) return undefined
  const names = new Set(list.map(({ issuer }) => issuer))
  return names.size === list.length && list.every(hasKeys) ? list : undefined
}

function hasKeys ({ issuer, jwks, secret }: TrustedIssuer) {
  return secret === undefined ? isHttp(jwks ?? issuer) : jwks === undefined
}

function isHttp (text: string) {
  return URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol)
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
