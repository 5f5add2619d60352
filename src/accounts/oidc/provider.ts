import type { FastifyBaseLogger } from 'fastify'
import type { JWTPayload } from 'jose'
import type { ClientAuth, Configuration, CustomFetch } from 'openid-client'
import { Agent, type buildConnector } from 'undici'
import { SIGN_IN_FAILED, SIGN_IN_REFUSED, UNAVAILABLE } from '../../errors.ts'
import { isClaimedId } from '../issuers/claims.ts'
import { fetchBytes, FETCH_TIMEOUT_MS } from '../issuers/fetch-keys.ts'

/** The timeout for each request after the user has come back: for the tokens, the keys and the profile. */
const EXCHANGE_TIMEOUT_MS = 5_000

/** Configurations older than this are fetched again by the next sign-in. */
const REFRESH_AFTER_MS = 60 * 60_000

/** While the issuer cannot be reached, how often it is asked at most. Sign-ins in between are refused at once. */
const RETRY_AFTER_MS = 5_000

const SCOPE = 'openid profile email'

/** The secrets of one sign-in. The browser keeps them, signed by us, until it comes back from the issuer. */
export interface SignInSecrets { state: string, nonce: string, verifier: string }

/** The claims of someone who has signed in. */
export type SignInClaims = JWTPayload & { iss: string, sub: string }

export interface OpenIdProviderOptions {
  issuer: string
  clientId: string
  /** A public client has none. */
  clientSecret: string | undefined
  /** Makes a connector that reaches these hosts and the open internet, and nothing else of our own network. */
  createConnector: (allow: string, timeoutMs: number) => buildConnector.connector
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  now?: () => number
}

/**
 * An OpenID Connect provider that signs users in, by the authorization code flow with PKCE. The library is loaded, and the
 * provider is asked for its configuration, when somebody signs in for the first time, so that the server starts without it.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
 * @see RFC 9700 for what can go wrong
 */
export function createOpenIdProvider ({ issuer, clientId, clientSecret, createConnector, log, now = Date.now }: OpenIdProviderOptions) {
  const { hostname, protocol } = new URL(issuer)
  // Addresses that the issuer's configuration names must not be in our own network, unless they have the issuer's own host.
  const agent = new Agent({ connect: createConnector(hostname.replace(/^\[|\]$/g, ''), FETCH_TIMEOUT_MS) })
  let found: Configuration | undefined
  let foundAt = -Infinity
  let askedAt = -Infinity
  let asking: Promise<void> | undefined

  const fetchFenced: CustomFetch = async (url, { method, headers, body, signal }) => {
    const { statusCode, contentType, bytes } = await fetchBytes(url, {
      method: method as 'GET' | 'POST', headers, dispatcher: agent, ...body != null && { body: String(body) }, ...signal && { signal }
    })
    return new Response(bytes, { status: statusCode, headers: { 'content-type': contentType } })
  }

  /** Never rejects. Concurrent sign-ins share one request. */
  async function discover () {
    askedAt = now()
    try {
      const client = await import('openid-client')
      const execute = [client.enableNonRepudiationChecks, client.allowInsecureRequests].filter(option => option !== client.allowInsecureRequests || protocol === 'http:')
      const configuration = await client.discovery(new URL(issuer), clientId, {}, clientAuth(client), {
        execute, timeout: FETCH_TIMEOUT_MS / 1000, [client.customFetch]: fetchFenced
      })
      configuration.timeout = EXCHANGE_TIMEOUT_MS / 1000
      found = configuration
      foundAt = now()
    } catch (error) {
      log.warn({ err: error, issuer }, 'The configuration of OIDC_ISSUER could not be fetched')
    }
  }

  /** Sends the client secret in the body if the provider says that it supports that, because some do not decode the encoding of Basic. Otherwise with Basic, which the standard makes the default. */
  function clientAuth ({ ClientSecretBasic, ClientSecretPost, None }: typeof import('openid-client')): ClientAuth {
    if (clientSecret === undefined) return None()
    const [basic, post] = [ClientSecretBasic(clientSecret), ClientSecretPost(clientSecret)]
    return (server, ...rest) => (server.token_endpoint_auth_methods_supported?.includes('client_secret_post') ? post : basic)(server, ...rest)
  }

  /** @throws UNAVAILABLE as long as the configuration was never fetched; an old one is used while there is no newer one */
  async function configured () {
    if (asking === undefined && now() - foundAt > REFRESH_AFTER_MS && now() - askedAt >= RETRY_AFTER_MS) asking = discover().finally(() => { asking = undefined })
    await asking
    if (found === undefined) throw new UNAVAILABLE()
    return { configuration: found, client: await import('openid-client') }
  }

  return {
    /**
     * Begins a sign-in. Gives the address at the provider to which the browser goes, and the secrets of this sign-in.
     * @param redirectUri where the provider sends the browser back to
     * @throws UNAVAILABLE
     */
    async begin (redirectUri: string): Promise<{ url: string, secrets: SignInSecrets }> {
      const { client, configuration } = await configured()
      const secrets = { state: client.randomState(), nonce: client.randomNonce(), verifier: client.randomPKCECodeVerifier() }
      const url = client.buildAuthorizationUrl(configuration, {
        redirect_uri: redirectUri,
        scope: SCOPE,
        state: secrets.state,
        nonce: secrets.nonce,
        code_challenge: await client.calculatePKCECodeChallenge(secrets.verifier),
        code_challenge_method: 'S256'
      })
      return { url: url.href, secrets }
    },

    /**
     * Ends a sign-in: checks the provider's answer, and gives the claims of the ID token and, where the provider has some, of its
     * userinfo endpoint, in which many providers put the name.
     * @param answer the address to which the provider sent the browser
     * @throws UNAVAILABLE; SIGN_IN_REFUSED if the provider says so, SIGN_IN_FAILED for everything else that is wrong
     */
    async finish (answer: URL, { state, nonce, verifier }: SignInSecrets): Promise<SignInClaims> {
      const { client, configuration } = await configured()
      try {
        const tokens = await client.authorizationCodeGrant(configuration, answer, { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier })
        const claims = tokens.claims()!
        if (!isClaimedId(claims.sub)) throw new Error('The `sub` of the ID token cannot be stored')
        const hasMore = configuration.serverMetadata().userinfo_endpoint !== undefined
        const more = hasMore ? await client.fetchUserInfo(configuration, tokens.access_token, claims.sub) : {}
        return { ...more, ...claims }
      } catch (error) {
        if (error instanceof client.AuthorizationResponseError) {
          log.info({ issuer, reason: error.error, description: error.error_description }, 'OIDC_ISSUER did not sign a user in')
          throw new SIGN_IN_REFUSED()
        }
        log.warn({ err: error, issuer }, 'A sign-in with OIDC_ISSUER failed')
        throw new SIGN_IN_FAILED()
      }
    },

    /** Closes the connections to the provider. */
    async close () {
      await agent.destroy()
    }
  }
}
