import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { UNAVAILABLE } from '../../errors.ts'

const MINUTE_MS = 60_000

/** Keys older than this are fetched again in the background. */
const REFRESH_AFTER_MS = 10 * MINUTE_MS

/** How long keys are used while the issuer cannot be reached. */
const MAX_AGE_MS = 24 * 60 * MINUTE_MS

/** How often tokens that fit no key make us fetch the keys again, at most: anybody can send such a token. */
const ASK_AGAIN_AFTER_MS = MINUTE_MS

/** While there are no keys, how often they are fetched at most. Requests in between are refused at once. */
const RETRY_AFTER_MS = 5_000

export interface KeySet {
  /** Finds the key of a token. Throws UNAVAILABLE as long as there are no keys at all, and `jose`'s errors for a key that the issuer does not have. */
  keyOf: JWTVerifyGetKey
  /** Fetches the keys again, for a token whose signature fits none of them. Gives false if that was done less than a minute ago. */
  refresh: () => Promise<boolean>
}

/**
 * The keys of an issuer. They are fetched for the first token, then every ten minutes, and for a token with an unknown key id.
 * @param load fetches the keys; it must end within 2 s
 * @param failed is called with the error when that fails
 */
export function createKeySet (load: () => Promise<JSONWebKeySet>, failed: (error: unknown) => void, now = Date.now): KeySet {
  let find: ReturnType<typeof createLocalJWKSet> | undefined
  let loadedAt = -Infinity
  let askedAt = -Infinity
  let loading: Promise<void> | undefined

  /** Never rejects. Concurrent requests share one fetch. */
  async function reload () {
    loading ??= fetchKeys()
    await loading
    loading = undefined
  }

  async function fetchKeys () {
    askedAt = now()
    try {
      const found = createLocalJWKSet(await load())
      // An issuer that has withdrawn all its keys trusts none of its tokens. One that is still starting has none yet, either.
      find = found.jwks().keys.length === 0 ? undefined : found
      if (find === undefined) throw new Error('It has no keys')
      loadedAt = now()
    } catch (error) {
      failed(error)
    }
  }

  const mayAsk = (intervalMs: number) => loading !== undefined || now() - askedAt >= intervalMs

  async function refresh () {
    if (!mayAsk(ASK_AGAIN_AFTER_MS)) return false
    await reload()
    return true
  }

  const keyOf: JWTVerifyGetKey = async (header, token) => {
    if (now() - loadedAt > MAX_AGE_MS) find = undefined
    if (find === undefined && mayAsk(RETRY_AFTER_MS)) await reload()
    else if (now() - loadedAt > REFRESH_AFTER_MS && mayAsk(ASK_AGAIN_AFTER_MS)) reload()
    if (find === undefined) throw new UNAVAILABLE()
    try {
      return await find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !await refresh()) throw error
      return await find(header, token)
    }
  }

  return { keyOf, refresh }
}
