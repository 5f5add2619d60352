import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Config } from '../../config.ts'
import { ACCOUNT_LOCKED, CROSS_SITE, NOT_FOUND, SIGN_IN_EXPIRED, SIGN_IN_FAILED, SIGN_IN_REFUSED, UNAVAILABLE } from '../../errors.ts'
import { answers } from '../../http/schema.ts'
import { readTrustedIssuers } from '../../text/trusted-issuers.ts'
import { readProfile } from '../issuers/claims.ts'
import type { ExternalSubject, IssuerStore } from '../issuers/store.ts'
import { originOf } from '../recovery.ts'
import { createPendingSignIns } from './pending.ts'
import { createOpenIdProvider, type OpenIdProviderOptions, type SignInClaims } from './provider.ts'

export interface OidcRoutesOptions extends Pick<OpenIdProviderOptions, 'createConnector'> {
  config: Config
  /** Signs the cookies of sign-ins that have begun. */
  secret: string
  users: IssuerStore
}

/**
 * The page's sign-in with OpenID Connect. Browsers come here by a link and by a redirect of the provider, so the routes always
 * answer with a redirect: to the provider, or back to the page, with the code of an error behind the # if there is one.
 */
export const oidcRoutes: FastifyPluginAsyncTypebox<OidcRoutesOptions> =
  async function oidcRoutes (app, { config, secret, users, createConnector }) {
    const origin = originOf(config)
    const redirectUri = `${origin}${app.prefix}/callback`
    const provider = createProvider()
    const pending = createPendingSignIns(secret, origin.startsWith('https:'))
    const subjectOf = createSubjectReader(config)

    app.get('/start', Start, async (request, reply) => await redirect(request, reply, async () => {
      if (provider === undefined) throw new NOT_FOUND()
      // Another site must not be able to replace the session of this browser by that of the user whom the provider knows.
      if (!app.isFromOurs(request.headers)) throw new CROSS_SITE()
      const { url, secrets } = await provider.begin(redirectUri)
      await pending.keep(request, reply, { ...secrets, returnTo: request.query.return_to })
      return url
    }))

    app.get('/callback', Callback, async (request, reply) => await redirect(request, reply, async () => {
      if (provider === undefined) throw new NOT_FOUND()
      const { returnTo, ...secrets } = await pending.take(request, reply, request.query.state)
      const claims = await provider.finish(new URL(`${redirectUri}?${new URLSearchParams(request.query)}`), secrets)
      await reply.logIn(await users.signIn(subjectOf(claims)))
      return `/${returnTo}`
    }))

    function createProvider () {
      const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId, OIDC_CLIENT_SECRET: clientSecret } = config
      if (issuer === undefined || clientId === undefined) return undefined
      const created = createOpenIdProvider({ issuer, clientId, clientSecret, createConnector, log: app.log })
      app.addHook('onClose', created.close)
      return created
    }
  }

/** An issuer that is also in TRUSTED_ISSUERS has the same claims here, since its users are the same. */
function createSubjectReader ({ TRUSTED_ISSUERS, ADMIN_CLAIM }: Config) {
  const trusted = readTrustedIssuers(TRUSTED_ISSUERS)!
  return function subjectOf (claims: SignInClaims): ExternalSubject {
    const known = trusted.find(({ issuer }) => issuer === claims.iss)
    return { issuer: claims.iss, subject: claims.sub, profile: readProfile(claims, known?.claims ?? {}, known?.admin_claim ?? ADMIN_CLAIM) }
  }
}

/** The errors for which the page has a sentence. Everything else is logged, and the page says that the sign-in is not available. */
const SHOWN = new Set<string>([ACCOUNT_LOCKED, CROSS_SITE, NOT_FOUND, SIGN_IN_EXPIRED, SIGN_IN_FAILED, SIGN_IN_REFUSED, UNAVAILABLE].map(Failure => new Failure().code))

async function redirect (request: FastifyRequest, reply: FastifyReply, work: () => Promise<string>) {
  reply.header('cache-control', 'no-store')
  return reply.redirect(await work().catch((error: Error & { code?: string }) => {
    if (SHOWN.has(error.code!)) return `/#sign-in-failed=${error.code}`
    request.log.error({ err: error }, 'A sign-in with OIDC_ISSUER could not be processed')
    return '/#sign-in-failed=UNAVAILABLE'
  }))
}

const Redirect = Type.Null({ description: 'A redirect' })

/** A parameter of the provider's answer. Some providers put a whole encrypted session into the code. */
const Answer = Type.Optional(Type.String({ maxLength: 8_000 }))

const Start = {
  schema: {
    operationId: 'startOidc',
    summary: 'Sends a browser to the OpenID Connect provider',
    description: 'An error comes back to the page as `#sign-in-failed=CODE`.',
    tags: ['accounts'],
    querystring: Type.Object({
      return_to: Type.String({
        default: '#/', maxLength: 500, pattern: /^#\/[!-~]*$/.source, 'x-rule': 'must be a place of the page, such as #/c/7'
      })
    }),
    response: answers({ 302: Redirect })
  }
}

const Callback = {
  schema: {
    operationId: 'finishOidc',
    summary: 'Where the provider sends the browser back to; sets the session cookie',
    tags: ['accounts'],
    querystring: Type.Object({
      state: Type.String({ default: '', maxLength: 100 }),
      code: Answer,
      iss: Answer,
      error: Answer,
      error_description: Answer
    }),
    response: answers({ 302: Redirect })
  }
}
