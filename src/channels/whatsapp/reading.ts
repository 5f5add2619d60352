import { list, onlyPiece, record, senderOf, text, type Contact } from './payload.js'

// What the pieces of webhooks mean, once they are in the inbox.

export interface Said extends Contact {
  /** The profile's name. */
  name: string | undefined
  /** What the log shows as said; undefined for what gets no answer. */
  text: string | undefined
  /** Whether it can be answered by a bot, which understands text only. */
  isText: boolean
}

/** What has no text, as the log shows it. */
const WITHOUT_TEXT = new Map(Object.entries({
  image: 'image', audio: 'voice message', video: 'video', sticker: 'sticker', document: 'document', location: 'location', contacts: 'contact'
}))

/** A message in the inbox, as the log and the bot get it. */
export function readMessage (body: Buffer): Said {
  const { item, contact } = onlyPiece(body)
  const { button, interactive } = item
  const type = text(item['type']) ?? ''
  const reply = record(interactive)
  const written: unknown = type === 'text'
    ? record(item['text'])['body']
    : type === 'button' ? record(button)['text'] : record(reply['button_reply'] ?? reply['list_reply'])['title']
  const said = { ...senderOf(item, contact), name: clean(record(contact['profile'])['name'], 100) }
  const kind = WITHOUT_TEXT.get(type)
  if (kind === undefined) return { ...said, text: clean(written, 8000), isText: true }
  return { ...said, text: clean(`[${kind}] ${text(record(item[type])['caption']) ?? ''}`, 8000), isText: false }
}

/** What a status says has become of a message: in the ledger's words, and Meta's error. */
export interface Fate { whatsappId: string, state: 'sent' | 'delivered' | 'read' | 'failed' | 'window_closed' | undefined, errorCode: number | null, error: string | null }

const STATES = new Map(Object.entries({ sent: 'sent', delivered: 'delivered', read: 'read', played: 'read', failed: 'failed' } as const))

/** Meta's code for a message that came when the contact had been silent for 24 hours. */
export const WINDOW_CLOSED = 131047

/** A status in the inbox. */
export function readStatus (body: Buffer): Fate {
  const { item } = onlyPiece(body)
  const problem = readError(list(item['errors'])[0])
  const state = problem.errorCode === WINDOW_CLOSED ? 'window_closed' : STATES.get(String(item['status']))
  return { whatsappId: String(item['id']), state, ...problem }
}

/** Meta's words for what went wrong, in an answer of the API or in a status. */
export function readError (error: unknown): { errorCode: number | null, error: string | null } {
  const { code, title, message } = record(error)
  const said = clean(text(title) ?? message, 500) ?? null
  return { errorCode: Number.isSafeInteger(code) && Math.abs(Number(code)) < 2 ** 31 ? Number(code) : null, error: said }
}

/** Text as Postgres and every client can hold it; undefined when nothing is left. */
function clean (value: unknown, atMost: number): string | undefined {
  const whole = (text(value) ?? '').replaceAll('\0', '').toWellFormed().trim()
  return [...whole.slice(0, 2 * atMost)].slice(0, atMost).join('').trim() || undefined
}
