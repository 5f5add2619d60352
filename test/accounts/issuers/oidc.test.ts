import t, { type Test } from 'tap'
import { createHash, randomBytes } from 'node:crypto'
import { bearer, trusting } from '../../support/issuer.ts'
import { startApp } from '../../support/helper.ts'
import { startOpenIdProvider, visitProvider } from '../../support/openid.ts'

// A real OpenID provider: discovery, its key set, and the tokens that a browser gets from it.

const RETURN_TO = 'http://127.0.0.1:9/back'
const RESOURCE = 'https://parley.example'

/** A provider whose access tokens are JWTs, for a front end that is a public client. */
async function startProvider (t: Test) {
  const { issuer } = await startOpenIdProvider(t, () => ({
    clients: [{ client_id: 'page', redirect_uris: [RETURN_TO], token_endpoint_auth_method: 'none' }],
    extraTokenClaims: async (_ctx, token) => 'accountId' in token ? { name: 'Ann of the provider' } : {},
    features: {
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope: 'chat', audience: RESOURCE, accessTokenFormat: 'jwt' })
      }
    }
  }))
  return issuer
}

/** Signs in as a browser does, with PKCE. Returns the access token. */
async function signIn (issuer: string, login: string): Promise<string> {
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    client_id: 'page',
    redirect_uri: RETURN_TO,
    response_type: 'code',
    scope: 'openid chat',
    resource: RESOURCE,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256'
  })
  const url = await visitProvider(`${issuer}/auth?${query}`, RETURN_TO, login)
  const code = new URL(url).searchParams.get('code')!
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: RETURN_TO, client_id: 'page', code_verifier: verifier, resource: RESOURCE })
  })
  return ((await answer.json()) as { access_token: string }).access_token
}

t.test('a user who signed in at an OpenID provider can use its access token', async t => {
  const issuer = await startProvider(t)
  const { anyone, query } = await startApp(t, trusting({ issuer, audience: RESOURCE }))
  const me = async (token: string) => (await anyone.get('/api/me', bearer(token))).json()
  const first = await me(await signIn(issuer, 'ann'))
  t.match(first, { issuer, external_id: 'ann', name: 'Ann of the provider' })
  t.match(await me(await signIn(issuer, 'ann')), { id: first.id }, 'the same user after another sign-in')
  t.not((await me(await signIn(issuer, 'bob'))).id, first.id)
  t.match(await query('SELECT kind FROM sessions'), [{ kind: 'issuer' }, { kind: 'issuer' }, { kind: 'issuer' }])
})
