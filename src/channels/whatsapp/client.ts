import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../config.js'
import { reasonOf } from '../../db/client.js'
import { list, record, text } from './payload.js'
import { readError, WINDOW_CLOSED } from './reading.js'

export type WhatsAppClient = ReturnType<typeof createWhatsAppClient>

interface Problem { errorCode: number | null, error: string | null }

/** What became of a request to send: `unknown` when it may have arrived, but no answer did. */
export type Outcome =
  | { is: 'sent', whatsappId: string }
  | { is: 'refused', state: 'failed' | 'window_closed' } & Problem
  | { is: 'later', afterSeconds: number } & Problem
  | { is: 'unknown' } & Problem

/** Milliseconds: what takes longer is given up while a server that closes still waits for its jobs. */
const PATIENCE = 10_000

/** Too many requests: of the app, the account, the number, and to one contact. @see https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes */
const TOO_MANY = [4, 80007, 130429, 131056]

/** With these it is certain that nothing reached Meta. */
const NEVER_ARRIVED = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT/

export type MetaConfig = Pick<Config, 'META_API_URL' | 'META_PHONE_NUMBER_ID' | 'META_ACCESS_TOKEN'>

/** Meta's API, as far as we need it. @see https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages */
export function createWhatsAppClient ({ META_API_URL, META_PHONE_NUMBER_ID, META_ACCESS_TOKEN }: MetaConfig, log: Pick<FastifyBaseLogger, 'debug'>) {
  const url = `${META_API_URL.replace(/\/$/, '')}/${META_PHONE_NUMBER_ID}/messages`

  async function post (message: object) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${META_ACCESS_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ messaging_product: 'whatsapp', ...message }),
      signal: AbortSignal.timeout(PATIENCE)
    })
    const said = await answer.text()
    return { status: answer.status, retryAfter: Number(answer.headers.get('retry-after')) || 0, body: parse(said) }
  }

  return {
    /** Sends text to a phone number, which Meta prefers, or to a user id. Never throws. */
    async send (to: { phone: string } | { userId: string }, body: string): Promise<Outcome> {
      if (META_PHONE_NUMBER_ID === undefined || META_ACCESS_TOKEN === undefined) {
        return { is: 'later', afterSeconds: 0, errorCode: null, error: 'META_PHONE_NUMBER_ID or META_ACCESS_TOKEN is not set' }
      }
      try {
        const recipient = 'phone' in to ? { to: to.phone } : { recipient: to.userId }
        return outcomeOf(await post({ ...recipient, type: 'text', text: { preview_url: true, body } }))
      } catch (error) {
        const { code, message } = reasonOf(error)
        const problem = { errorCode: null, error: message }
        return NEVER_ARRIVED.test(String(code)) ? { is: 'later', afterSeconds: 0, ...problem } : { is: 'unknown', ...problem }
      }
    },

    /** Shows that a message was read and that somebody is typing; nothing waits for it, and without it all goes on. */
    markRead (whatsappId: string): void {
      if (META_PHONE_NUMBER_ID === undefined || META_ACCESS_TOKEN === undefined) return
      post({ status: 'read', message_id: whatsappId, typing_indicator: { type: 'text' } })
        .catch(error => log.debug({ err: error }, 'a message could not be marked as read'))
    }
  }
}

function outcomeOf ({ status, retryAfter, body }: { status: number, retryAfter: number, body: unknown }): Outcome {
  const { messages, error } = record(body)
  const whatsappId = text(record(list(messages)[0])['id'])
  if (status < 300) return whatsappId === undefined ? { is: 'unknown', errorCode: null, error: `HTTP ${status} without a message` } : { is: 'sent', whatsappId }
  const said = readError(error)
  const problem = { errorCode: said.errorCode, error: said.error ?? `HTTP ${status}` }
  if (status === 429 || TOO_MANY.includes(Number(said.errorCode)) || status >= 500) return { is: 'later', afterSeconds: retryAfter, ...problem }
  return { is: 'refused', state: said.errorCode === WINDOW_CLOSED ? 'window_closed' : 'failed', ...problem }
}

function parse (said: string): unknown {
  try {
    return JSON.parse(said)
  } catch {
    // A proxy's page for people: the status says enough.
  }
}
