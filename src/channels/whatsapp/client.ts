import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../config.ts'
import { reasonOf } from '../../db/client.ts'
import { retryAfterMs } from '../../text/retry-after.ts'
import { list, record, text } from '../../text/untrusted-json.ts'
import { troubleOf } from './error-codes.ts'
import { readError, WINDOW_CLOSED, type Problem } from './reading.ts'
import { startTimeout } from './send-timeout.ts'

export type WhatsAppClient = ReturnType<typeof createWhatsAppClient>

/**
 * The result of a request to send. `refused`: this message cannot be sent. `later`: try again. `held`: our account can send
 * nothing at the moment. `unknown`: there was no usable response, so the message may have arrived.
 */
export type SendOutcome =
  | { is: 'sent', whatsappId: string }
  | { is: 'refused', state: 'failed' | 'window_closed', problem: Problem }
  | { is: 'later', afterSeconds: number, problem: Problem }
  | { is: 'held', problem: Problem }
  | { is: 'unknown', problem: Problem }

/** A contact's address, in the field of Meta's API for it. */
export type Recipient = { to: string } | { recipient: string }

/** The content of a message in Meta's API. @see https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages */
export type Content =
  | { type: 'text', text: { preview_url: boolean, body: string } }
  | { type: 'template', template: { name: string, language: { code: string }, components?: object[] } }

/** In seconds: the longest pause that we accept from `Retry-After`. Older messages are not sent any more. */
const MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60

/** Errors that occur before a connection is made, so that the request cannot have reached Meta. */
const NEVER_ARRIVED = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT/

export type MetaConfig = Pick<Config, 'META_API_URL' | 'META_PHONE_NUMBER_ID' | 'META_ACCESS_TOKEN'>

/** A client for the parts of Meta's API that we use. @see https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages */
export function createWhatsAppClient ({ META_API_URL, META_PHONE_NUMBER_ID, META_ACCESS_TOKEN }: MetaConfig, log: Pick<FastifyBaseLogger, 'debug'>) {
  const url = `${META_API_URL.replace(/\/$/, '')}/${META_PHONE_NUMBER_ID}/messages`

  async function post (message: object) {
    const timeout = startTimeout()
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { authorization: `Bearer ${META_ACCESS_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ messaging_product: 'whatsapp', ...message }),
        signal: timeout.signal
      })
      const said = await answer.text()
      return { status: answer.status, retryAfter: Math.min(Math.ceil((retryAfterMs(answer.headers) ?? 0) / 1000), MAX_RETRY_AFTER_SECONDS), body: parse(said) }
    } finally {
      timeout.clear()
    }
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

    /** Marks a message as read and shows the typing indicator. Does not wait for the response; a failure is only logged. */
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
    // Not JSON, such as a proxy's error page. The HTTP status is enough.
  }
}
