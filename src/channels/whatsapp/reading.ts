import { cut, MAX_MESSAGE_LENGTH, storable, trimmed } from '../../text/text.ts'
import { predecessorOf, senderOf, successorOf, type Contact } from './addresses.ts'
import type { ErrorReport } from './error-codes.ts'
import { list, record, text, type Json } from './json.ts'
import { onlyPiece } from './payload.ts'

// What the pieces of webhooks mean, once they are in the inbox.

export interface ContactMessage extends Contact {
  /** The profile's name. */
  name: string | undefined
  /** Who the contact has become, where the message tells of a new number or user id. */
  successor: Contact | undefined
  /** What the log shows as said; undefined for what gets no answer. */
  text: string | undefined
  /** What to answer in a bot's place, since it has no text that a bot could understand. */
  answer: string | undefined
}

/** What the bot says to what has no text. */
const ONLY_TEXT = 'Sorry, I can only read text messages. Please write it to me.'

/** What it says to somebody who has opened the chat for the first time, and has not written yet. */
const WELCOME = 'Hello! Please write me a message.'

/** Messages without text whose type is not a word for people; those of any other type show the type itself. */
const WORDS = new Map(Object.entries({
  audio: 'voice message', contacts: 'contact', nfm_reply: 'form', unsupported: 'unsupported message', request_welcome: 'chat opened'
}))

/** What asks for no answer: a sign under a message, and what WhatsApp itself tells of the contact. */
const UNANSWERED = ['reaction', 'system']

/** A message in the inbox, as the log and the bot get it; with what an edit has made of it, where there is one. */
export function readMessage (body: Buffer, edit?: Buffer): ContactMessage {
  const { item, contact } = onlyPiece(body)
  const content = edit === undefined ? item : record(record(onlyPiece(edit).item['edit'])['message'])
  const successor = successorOf(item)
  const sender = successor === undefined ? senderOf(item, contact) : predecessorOf(item)
  return { ...sender, successor, name: clean(record(contact['profile'])['name'], 100), ...readContent(content) }
}

/** @see https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages */
function readContent (item: Json): Pick<ContactMessage, 'text' | 'answer'> {
  const type = text(item['type']) ?? 'message'
  if (UNANSWERED.includes(type)) return { text: undefined, answer: undefined }
  if (type === 'text') return { text: clean(record(item['text'])['body'], MAX_MESSAGE_LENGTH), answer: undefined }
  const written = type === 'button' ? clean(record(item['button'])['text'], MAX_MESSAGE_LENGTH) : type === 'interactive' ? titleOf(record(item['interactive'])) : undefined
  if (written !== undefined) return { text: written, answer: undefined }
  const kind = type === 'interactive' ? text(record(item['interactive'])['type']) ?? type : type
  return { text: clean(`[${wordFor(kind)}] ${noteIn(item, type)}`, MAX_MESSAGE_LENGTH), answer: type === 'request_welcome' ? WELCOME : ONLY_TEXT }
}

/** What somebody has tapped, of buttons and lists. */
function titleOf (reply: Json) {
  return clean(record(reply['button_reply'] ?? reply['list_reply'])['title'], MAX_MESSAGE_LENGTH)
}

/** A type as a word: there are new ones now and then, and a message of a type that nobody knows is still a message. */
function wordFor (type: string) {
  return WORDS.get(type) ?? clean(type.replace(/[^\p{L}\p{N}]+/gu, ' '), 40) ?? 'message'
}

/** The text that comes with what is not text: a caption, the note of an order, the address in a form. */
function noteIn (item: Json, type: string) {
  const { caption, text: note, nfm_reply: form } = record(item[type])
  const { body } = record(form)
  return text(caption) ?? text(note) ?? (body === FORM_SENT ? undefined : text(body)) ?? ''
}

/** What WhatsApp writes into every form that was sent. */
const FORM_SENT = 'Sent'

/** Whether a change in the inbox is a deletion, and not an edit. */
export function isRevoke (body: Buffer): boolean {
  return onlyPiece(body).item['type'] === 'revoke'
}

/** What a status says has become of a message: in the ledger's words, and Meta's error. */
export interface Fate {
  whatsappId: string
  state: 'sent' | 'delivered' | 'read' | 'failed' | 'window_closed' | undefined
  problem: Problem
  report: ErrorReport
}

/** What went wrong, as it is kept and shown. */
export interface Problem { errorCode: number | null, error: string | null }

const STATES = new Map(Object.entries({ sent: 'sent', delivered: 'delivered', read: 'read', played: 'read', failed: 'failed' } as const))

/** Meta's code for a message that came when the contact had been silent for 24 hours. */
export const WINDOW_CLOSED = 131047

/** A status in the inbox. */
export function readStatus (body: Buffer): Fate {
  const { item } = onlyPiece(body)
  const { problem, report } = readError(list(item['errors'])[0])
  const state = report.code === WINDOW_CLOSED ? 'window_closed' : STATES.get(String(item['status']))
  return { whatsappId: String(item['id']), state, problem, report }
}

/** Meta's words for what went wrong, in an answer of the API or in a status. */
export function readError (error: unknown): { problem: Problem, report: ErrorReport } {
  const { code: given, title, message, error_subcode: subcode, is_transient: isTransient } = record(error)
  const code = codeIn(given)
  return {
    problem: { errorCode: code, error: clean(text(title) ?? message, 500) ?? null },
    report: { code, subcode: codeIn(subcode), isTransient: isTransient === true }
  }
}

/** A code as Postgres can hold it; some proxies write it as text. */
function codeIn (value: unknown) {
  const code = typeof value === 'string' && /^-?\d{1,10}$/.test(value) ? Number(value) : value
  return Number.isSafeInteger(code) && Math.abs(Number(code)) < 2 ** 31 ? Number(code) : null
}

/** Text as Postgres and every client can hold it; undefined when nothing is left. */
function clean (value: unknown, atMost: number): string | undefined {
  return trimmed(cut(trimmed(storable(text(value) ?? '')), atMost)) || undefined
}
