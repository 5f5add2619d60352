import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose'

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void

/**
 * Starts a token issuer: an HTTP server with its keys (JWKS) and OpenID configuration, and functions that sign tokens. `kid` is the
 * id of all of its keys; left out, each has its own.
 */
export async function startIssuer (t: Test, { alg = 'RS256', kid: fixedKid }: { alg?: string, kid?: string | undefined } = {}) {
  let keys: Array<{ kid: string, key: CryptoKey, jwk: JWK }> = []
  const asked: string[] = []
  let answer: Answer | undefined
  const server = http.createServer((request, response) => {
    asked.push(request.url!)
    if (answer !== undefined) return answer(request, response)
    const body = request.url === '/jwks' ? { keys: keys.map(({ jwk }) => jwk) } : { issuer, jwks_uri: `${issuer}/jwks` }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  /** Makes a new key, which signs from now on. The older keys stay in the JWKS unless `keepOld` is false. */
  async function rotate ({ keepOld = true } = {}) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    const kid = fixedKid ?? randomUUID()
    keys = [{ kid, key: privateKey, jwk: { ...await exportJWK(publicKey), kid, alg, use: 'sig' } }, ...keepOld ? keys : []]
  }
  await rotate()

  return {
    issuer,
    /** The paths of all requests. */
    asked,
    rotate,
    /** The entry for TRUSTED_ISSUERS. */
    setting: { issuer, audience: 'parley' },
    get jwk () { return keys[0]!.jwk },
    get key () { return keys[0]!.key },
    /** Answers every request with this function from now on; undefined restores the normal answers. */
    answerWith (next: Answer | undefined) { answer = next },
    /** Signs a token that is valid for ten minutes. `claims` replace the default ones. */
    async sign (claims: JWTPayload = {}, header: object = {}, key: CryptoKey | Uint8Array = keys[0]!.key) {
      const now = Math.floor(Date.now() / 1000)
      const payload = { iss: issuer, aud: 'parley', sub: 'user_1', iat: now, exp: now + 600, ...claims }
      return await new SignJWT(Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined)))
        .setProtectedHeader({ alg, kid: keys[0]!.kid, typ: 'JWT', ...header }).sign(key)
    }
  }
}

export const trusting = (...issuers: object[]) => ({ TRUSTED_ISSUERS: JSON.stringify(issuers) })
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
