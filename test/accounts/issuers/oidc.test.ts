import t, { type Test } from 'tap'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import Provider from 'oidc-provider'
import { bearer, trusting } from '../../support/issuer.ts'
import { startApp } from '../../support/helper.ts'

// A real OpenID provider: discovery, its key set, and the tokens that a browser gets from it.

const RETURN_TO = 'http://127.0.0.1:9/back'
const RESOURCE = 'https://parley.example'

async function startProvider (t: Test) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const server = http.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'page', redirect_uris: [RETURN_TO], token_endpoint_auth_method: 'none' }],
    jwks: { keys: [{ ...await exportJWK(privateKey), alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['a key'] },
    pkce: { required: () => true },
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    extraTokenClaims: async (_ctx, token) => 'accountId' in token ? { name: 'Ann of the provider' } : {},
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope: 'chat', audience: RESOURCE, accessTokenFormat: 'jwt' })
      }
    }
  })
  server.on('request', provider.callback())
  return issuer
}

/** Signs in as a browser does, with PKCE. Returns the access token. */
async function signIn (issuer: string, login: string): Promise<string> {
  const verifier = randomBytes(32).toString('base64url')
  const cookies = new Map<string, string>()
  const query = new URLSearchParams({
    client_id: 'page',
    redirect_uri: RETURN_TO,
    response_type: 'code',
    scope: 'openid chat',
    resource: RESOURCE,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256'
  })
  let url = `${issuer}/auth?${query}`
  let form: URLSearchParams | undefined
  while (!url.startsWith(RETURN_TO)) {
    const answer = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...form !== undefined && { method: 'POST', body: form }
    })
    for (const cookie of answer.headers.getSetCookie()) cookies.set(cookie.slice(0, cookie.indexOf('=')), /=([^;]*)/.exec(cookie)![1]!)
    const page = await answer.text()
    form = undefined
    if (answer.status >= 300 && answer.status < 400) url = new URL(answer.headers.get('location')!, url).href
    else form = new URLSearchParams({ prompt: /name="prompt" value="(\w+)"/.exec(page)![1]!, login, password: 'any' })
  }
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
