import type { JSONWebKeySet } from 'jose'
import { request, type Dispatcher } from 'undici'

/** The timeout for discovery and key set together. */
export const FETCH_TIMEOUT_MS = 2_000

/** Key sets have a few KiB. */
const MAX_BYTES = 256 * 1024

/**
 * Fetches an issuer's keys, from `jwks` or from where its OpenID configuration says, within 2 s. Redirects are not followed.
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
 * @throws an Error that says what is wrong
 */
export async function fetchKeys ({ issuer, jwks }: { issuer: string, jwks?: string }, dispatcher: Dispatcher): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS)
  return await fetchJson(jwks ?? await discover(), dispatcher, signal) as JSONWebKeySet

  async function discover () {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const found = await fetchJson(url, dispatcher, signal) as { issuer?: unknown, jwks_uri?: unknown } | null
    if (found?.issuer !== issuer || typeof found.jwks_uri !== 'string') throw new Error(`${url} is not the configuration of ${issuer}`)
    return found.jwks_uri
  }
}

async function fetchJson (url: string, dispatcher: Dispatcher, signal: AbortSignal): Promise<unknown> {
  const { statusCode, bytes } = await fetchBytes(url, { headers: { accept: 'application/json' }, dispatcher, signal })
  if (statusCode !== 200) throw new Error(`${url} answers ${statusCode}`)
  return JSON.parse(bytes.toString())
}

interface FetchOptions extends Partial<Pick<Dispatcher.RequestOptions, 'method' | 'body' | 'signal'>> { headers: Record<string, string>, dispatcher: Dispatcher }

/** Sends a request to an issuer. Redirects are not followed. @throws an Error if the answer is longer than 256 KiB */
export async function fetchBytes (url: string, { headers, ...options }: FetchOptions) {
  const { statusCode, headers: { 'content-type': contentType }, body } = await request(url, { ...options, headers: { ...headers, 'user-agent': 'parley' } })
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    if ((length += chunk.length) > MAX_BYTES) throw new Error(`${url} answers with more than ${MAX_BYTES} bytes`)
  }
  return { statusCode, contentType: String(contentType), bytes: Buffer.concat(chunks) }
}
