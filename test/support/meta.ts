import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { sign } from '../../src/channels/whatsapp/signature.ts'
import type { Settings } from './process.ts'
import { until } from './process.ts'

// A fake Meta: its API, over real HTTP, and the webhooks that it sends.

export const APP_SECRET = 'an app secret for tests'
export const VERIFY_TOKEN = 'a verify token for tests'
const PHONE_NUMBER_ID = '106540352242922'

/** What the fake does with a request: accept it, answer with something else, or cut the connection before or after it accepted the message. */
export interface Plan { status?: number, error?: object | undefined, body?: object, headers?: Record<string, string>, cut?: 'before' | 'after', hold?: Promise<void>, twice?: boolean }

export interface Sent { id: string, to: string, text: string, body: Record<string, unknown>, headers: http.IncomingHttpHeaders, path: string }

/**
 * Starts a fake of Meta's API. `sent` has the messages that it accepted, `plan` sets what it does with the next requests, and
 * `onSent` is called for each accepted message before the response.
 */
export async function startMeta (t: Test, onSent: (sent: Sent) => Promise<void> | void = () => {}) {
  const sent: Sent[] = []
  const read: Array<Record<string, unknown>> = []
  const plans: Plan[] = []
  let asked = 0

  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return // the server that sent the request was killed
    }
    const body = JSON.parse(Buffer.concat(chunks).toString())
    if (body.status === 'read') {
      read.push(body)
      return response.end('{"success":true}')
    }
    asked++
    const { status = 200, error, body: said, headers = {}, cut, hold, twice } = plans.shift() ?? {}
    await hold
    if (cut === 'before') return request.socket.destroy()
    if (status !== 200) return response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(error === undefined ? '<html>' : JSON.stringify({ error }))
    if (said !== undefined) return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(said))
    const id = `wamid.${String(sent.length + 1).padStart(4, '0')}=`
    const message = { id, to: body.to ?? body.recipient, text: body.text?.body ?? '', body, headers: request.headers, path: request.url! }
    sent.push(message)
    await onSent(message)
    if (cut === 'after') return request.socket.destroy()
    const contact = body.to === undefined ? { input: body.recipient, user_id: body.recipient } : { input: body.to, wa_id: body.to }
    const answer = JSON.stringify({ messaging_product: 'whatsapp', contacts: [contact], messages: [{ id }] })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length }).end(answer)
    if (twice) request.socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    url,
    sent,
    read,
    /** The number of requests to send a message, including those that failed. */
    get asked () { return asked },
    plan: (...next: Plan[]) => { plans.push(...next) },
    settings: {
      META_API_URL: `${url}/v25.0`,
      META_ACCESS_TOKEN: 'EAAJtoken',
      META_PHONE_NUMBER_ID: PHONE_NUMBER_ID,
      META_APP_SECRET: APP_SECRET,
      META_VERIFY_TOKEN: VERIFY_TOKEN
    } satisfies Settings,
    has: (count: number) => until(() => sent.length >= count ? sent : undefined)
  }
}

export function signed (body: string | Buffer, secret = APP_SECRET): Record<string, string> {
  return { 'content-type': 'application/json', 'x-hub-signature-256': sign(body, secret) }
}

const METADATA = { display_phone_number: '15550783881', phone_number_id: PHONE_NUMBER_ID }

/** The body of a webhook with these messages and statuses, all of them in one change. */
export function webhook<M extends object> (value: { messages?: M[], statuses?: object[], contacts?: object[], errors?: object[] }) {
  return { object: 'whatsapp_business_account', entry: [{ id: '102290129340398', changes: [{ field: 'messages', value: { messaging_product: 'whatsapp', metadata: METADATA, ...value } }] }] }
}

export const contact = (wa_id: string, name = 'Sheena Nelson') => ({ profile: { name }, wa_id })

let messages = 0
/** A timestamp in seconds, as Meta sends it: now, or this many seconds ago. */
export const secondsAgo = (seconds = 0) => String(Math.floor(Date.now() / 1000) - seconds)

/** A webhook with a text message from a contact. */
export function text (from: string, body: string, more: object = {}) {
  return { from, id: `wamid.in${String(++messages).padStart(5, '0')}==`, timestamp: secondsAgo(), type: 'text', text: { body }, ...more }
}

export function status (id: string, to: string, is: string, more: object = {}) {
  return { id, status: is, timestamp: secondsAgo(), recipient_id: to, ...more }
}

export const from = (phone: string, ...texts: string[]) => webhook({ contacts: [contact(phone)], messages: texts.map(body => text(phone, body)) })
