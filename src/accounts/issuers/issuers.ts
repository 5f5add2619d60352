import { createHash } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { Agent, type buildConnector } from 'undici'
import { createKeyedQueue } from '../../db/keyed-queue.ts'
import type { TrustedIssuer } from '../../text/trusted-issuers.ts'
import { FETCH_TIMEOUT_MS, fetchKeys } from './fetch-keys.ts'
import { createKeySet } from './key-set.ts'
import type { IssuerStore, TokenUse } from './store.ts'
import { createVerifier } from './verifier.ts'

/** How long the session of a token is cached. */
const REMEMBER_MS = 5 * 60_000

export type Issuers = ReturnType<typeof createIssuers>

/** Makes a connector that reaches these hosts and the open internet, and nothing else of our own network. */
type CreateConnector = (allow: string, timeoutMs: number) => buildConnector.connector

export interface IssuersOptions {
  issuers: TrustedIssuer[]
  /** The claim and value that make an admin, such as role=admin. Issuers may have their own instead. */
  adminClaim: string | undefined
  store: Pick<IssuerStore, 'enter'>
  createConnector: CreateConnector
  log: Pick<FastifyBaseLogger, 'warn'>
  /** How many tokens are cached. */
  most?: number
}

/**
 * Tokens of other issuers. Like our own tokens, each belongs to a row in `sessions`, which every request checks: when the
 * session is ended, all of its tokens stop working. Which session a token belongs to is cached for some minutes, so that
 * most requests cost no more than with our own tokens.
 */
export function createIssuers ({ issuers, adminClaim, store, createConnector, log, most = 10_000 }: IssuersOptions) {
  const remembered = new Map<string, { sessionId: number, until: number }>()
  const entering = new Map<string, Promise<number | undefined>>()
  const inTurn = createKeyedQueue()
  const closings: Array<() => Promise<void>> = []

  const verify = createVerifier({
    issuers,
    adminClaim,
    keysOf (issuer) {
      const { keys, close } = createIssuerKeys(issuer, createConnector, error => log.warn({ err: error, issuer: issuer.issuer }, 'The keys of an issuer of tokens could not be fetched'))
      closings.push(close)
      return keys
    }
  })

  async function enter (token: string, key: string, use: TokenUse) {
    const known = await verify(token)
    if (known === undefined) return undefined
    // The tokens of a subject need the same lock. If many waited for it in the database, no connection would be left for others.
    const sessionId = await inTurn(JSON.stringify([known.issuer, known.subject]), async () => await store.enter(known, use))
    if (sessionId === undefined) return undefined
    if (remembered.size >= most) remembered.delete(remembered.keys().next().value!)
    remembered.set(key, { sessionId, until: Math.min(known.endsAt.getTime(), Date.now() + REMEMBER_MS) })
    return sessionId
  }

  return {
    /**
     * The session that a token belongs to, which may have ended; undefined for an invalid token. The first
     * use of a token makes the user and the session if there are none.
     * @throws UNAVAILABLE while the issuer's keys cannot be fetched
     */
    async sessionOf (token: string, use: TokenUse): Promise<number | undefined> {
      if (issuers.length === 0) return undefined
      const key = createHash('sha256').update(token).digest('base64')
      const known = remembered.get(key)
      if (known !== undefined && known.until > Date.now()) return known.sessionId
      remembered.delete(key)
      const under = entering.get(key) ?? enter(token, key, use).finally(() => entering.delete(key))
      entering.set(key, under)
      return await under
    },

    /** Closes the connections to the issuers. */
    async close () {
      for (const close of closings) await close()
    }
  }
}

/** The keys of an issuer that shares no secret with us, which are fetched when they are needed. `failed` is called with the error when that fails. */
export function createIssuerKeys (issuer: TrustedIssuer, createConnector: CreateConnector, failed: (error: unknown) => void) {
  // Addresses that an issuer's configuration names must not be in our own network, unless the operator's settings have the same host.
  const allow = [issuer.jwks, issuer.issuer].flatMap(url => URL.canParse(url ?? '') ? [new URL(url!).hostname.replace(/^\[|\]$/g, '')] : [])
  const agent = new Agent({ connect: createConnector(allow.join(','), FETCH_TIMEOUT_MS) })
  return {
    keys: createKeySet(() => fetchKeys(issuer, agent), failed),
    /** Closes the connections to the issuer. */
    async close () { await agent.destroy() }
  }
}
