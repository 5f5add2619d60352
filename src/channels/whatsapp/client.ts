import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../config.ts'
import { reasonOf } from '../../db/client.ts'
import { troubleOf } from './error-codes.ts'
import { list, record, text } from './json.ts'
import { readError, WINDOW_CLOSED, type Problem } from './reading.ts'

export type WhatsAppClient = ReturnType<typeof createWhatsAppClient>

/**
 * What became of a request to send: `later` when it should be tried again, `held` when our account can send nothing at
 * the moment, `unknown` when it may have arrived, but no answer did.
 */
export type SendOutcome =
  | { is: 'sent', whatsappId: string }
  | { is: 'refused', state: 'failed' | 'window_closed', problem: Problem }
  | { is: 'later', afterSeconds: number, problem: Problem }
  | { is: 'held', problem: Problem }
  | { is: 'unknown', problem: Problem }

/** A contact's address, in the field in which Meta takes it. */
export type Recipient = { to: string } | { recipient: string }

/** What is sent, as Meta's API takes it. @see https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages */
export type Content =
  | { type: 'text', text: { preview_url: boolean, body: string } }
  | { type: 'template', template: { name: string, language: { code: string }, components?: object[] } }

/** Milliseconds: what takes longer is given up while a server that closes still waits for its jobs. */
const SEND_TIMEOUT_MS = 10_000

/** In seconds: the longest pause that we take from `Retry-After`, since nothing is sent later than that. */
const MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60

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
      signal: AbortSignal.timeout(SEND_TIMEOUT_MS)
    })
    const said = await answer.text()
    return { status: answer.status, retryAfter: Math.min(Number(answer.headers.get('retry-after')) || 0, MAX_RETRY_AFTER_SECONDS), body: parse(said) }
  }

  return {
    /** Sends a message to a contact. Never throws. */
    async send (recipient: Recipient, content: Content): Promise<SendOutcome> {
      if (META_PHONE_NUMBER_ID === undefined || META_ACCESS_TOKEN === undefined) {
        return { is: 'held', problem: { errorCode: null, error: 'META_PHONE_NUMBER_ID or META_ACCESS_TOKEN is not set' } }
      }
      try {
        return outcomeOf(await post({ ...recipient, ...content }))
      } catch (error) {
        const { code, message } = reasonOf(error)
        const problem = { errorCode: null, error: message }
        return NEVER_ARRIVED.test(String(code)) ? { is: 'later', afterSeconds: 0, problem } : { is: 'unknown', problem }
      }
    },

    /** Shows that a message was read and that somebody is typing; nothing waits for it, and without it all goes on. */
    markRead (whatsappId: string): void {
      if (META_PHONE_NUMBER_ID === undefined || META_ACCESS_TOKEN === undefined) return
      post({ status: 'read', message_id: whatsappId, typing_indicator: { type: 'text' } })
        .catch(error => log.debug({ err: error }, 'A WhatsApp message could not be marked as read'))
    }
  }
}

function outcomeOf ({ status, retryAfter, body }: { status: number, retryAfter: number, body: unknown }): SendOutcome {
  const { messages, error } = record(body)
  const whatsappId = text(record(list(messages)[0])['id'])
  if (status < 300 && error === undefined) {
    return whatsappId === undefined ? { is: 'unknown', problem: { errorCode: null, error: `HTTP ${status} without a message` } } : { is: 'sent', whatsappId }
  }
  const { problem: said, report } = readError(error)
  const problem = { ...said, error: said.error ?? `HTTP ${status}` }
  switch (troubleOf({ ...report, status })) {
    case 'account': return { is: 'held', problem }
    case 'passing': return { is: 'later', afterSeconds: retryAfter, problem }
    case 'message': return { is: 'refused', state: report.code === WINDOW_CLOSED ? 'window_closed' : 'failed', problem }
  }
}

function parse (said: string): unknown {
  try {
    return JSON.parse(said)
  } catch {
    // A proxy's page for people: the status says enough.
  }
}
