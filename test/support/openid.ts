import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { exportJWK, generateKeyPair } from 'jose'
import Provider, { type Configuration } from 'oidc-provider'

/**
 * Starts a real OpenID provider, which shows its forms for signing in. Any login is accepted, and is the user's `sub`.
 * `configure` gets the issuer and returns the rest of the configuration, such as the clients.
 */
export async function startOpenIdProvider (t: Test, configure: (issuer: string) => Configuration) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const server = http.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  let configuration: Configuration = {
    jwks: { keys: [{ ...await exportJWK(privateKey), alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['a key'] },
    pkce: { required: () => true },
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) })
  }
  const own = configure(issuer)
  configuration = { ...configuration, ...own, features: { devInteractions: { enabled: true }, ...own.features } }
  let answer = new Provider(issuer, configuration).callback()
  server.on('request', (request, response) => { answer(request, response) })
  return {
    issuer,
    /** Changes the configuration, for example to add a client. */
    change (changes: Configuration) {
      configuration = { ...configuration, ...changes }
      answer = new Provider(issuer, configuration).callback()
    }
  }
}

/**
 * Follows an address at a provider as a browser does, and signs in or cancels, until the provider sends the browser to `returnTo`.
 * Returns that address.
 */
export async function visitProvider (start: string, returnTo: string, login: string, { cancels = false } = {}): Promise<string> {
  const cookies = new Map<string, string>()
  let url = start
  let form: URLSearchParams | undefined
  while (!url.startsWith(returnTo)) {
    const answer = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...form !== undefined && { method: 'POST', body: form }
    })
    for (const cookie of answer.headers.getSetCookie()) cookies.set(cookie.slice(0, cookie.indexOf('=')), /=([^;]*)/.exec(cookie)![1]!)
    const page = await answer.text()
    form = undefined
    if (answer.status >= 300 && answer.status < 400) url = new URL(answer.headers.get('location')!, url).href
    else if (cancels) url = new URL(/href="([^"]*\/abort)"/.exec(page)![1]!, url).href
    else form = new URLSearchParams({ prompt: /name="prompt" value="(\w+)"/.exec(page)![1]!, login, password: 'any' })
  }
  return url
}
