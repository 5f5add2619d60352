import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../config.ts'

export interface Mail {
  /** The Message-ID. It is the same when a mail is sent again, so that mail programs show it once. */
  id: string
  /** The name of the file, if there is no mail server. */
  name: string
  to: string
  subject: string
  text: string
}
/** An error of nodemailer. `responseCode` is the mail server's reply code. */
export type MailError = Error & { code?: string, responseCode?: number }
export type SendMail = (mail: Mail) => Promise<void>

/** In milliseconds. A mail times out before a server that shuts down stops waiting for its jobs. */
const SMTP_TIMEOUTS_MS = { connectionTimeout: 5_000, greetingTimeout: 5_000, socketTimeout: 10_000 }

/** Sends mail over SMTP, or writes it into files. Only their owner can read those, because the links in them give access to accounts. */
export function createMailer ({ SMTP_URL, MAIL_FROM, DATA_DIR }: Pick<Config, 'SMTP_URL' | 'MAIL_FROM' | 'DATA_DIR'>, log: Pick<FastifyBaseLogger, 'info'>): SendMail {
  const domain = MAIL_FROM.slice(MAIL_FROM.lastIndexOf('@') + 1).replace(/^([^>]*)>.*$/, '$1').trim()
  const compose = ({ id, to, subject, text }: Mail) => ({
    from: MAIL_FROM,
    to: { name: '', address: to }, // an object, so that special characters cannot turn one address into several
    subject,
    text,
    messageId: `<${id}@${domain}>`,
    headers: { 'Auto-Submitted': 'auto-generated' } // so that vacation responders do not answer, see RFC 3834
  })

  if (SMTP_URL !== undefined) {
    const smtp = onDemand(({ createTransport }) => createTransport({ url: SMTP_URL, ...SMTP_TIMEOUTS_MS }))
    return async mail => { await (await smtp()).sendMail(compose(mail)) }
  }

  const folder = path.resolve(DATA_DIR, 'mail')
  const composer = onDemand(({ createTransport }) => createTransport({ streamTransport: true, buffer: true }))
  return async mail => {
    const { message } = await (await composer()).sendMail({ ...compose(mail), encoding: 'quoted-printable' })
    const file = path.join(folder, `${mail.name}.eml`)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(file, readable(message as Buffer), { mode: 0o600 })
    log.info({ file }, 'SMTP_URL is not set: this mail was written to a file')
  }
}

/** Whether the mail server has refused this very mail, for its sender, its address or its content. Other errors are expected to pass. */
export function isRefused ({ code, responseCode }: MailError): boolean {
  return (code === 'EENVELOPE' || code === 'EMESSAGE') && responseCode !== undefined && responseCode >= 500
}

/** Checks whether the mail server of this SMTP URL accepts mail from us. @throws what the server says */
export async function reachMailServer (url: string): Promise<void> {
  const { createTransport } = await import('nodemailer')
  const smtp = createTransport({ url, ...SMTP_TIMEOUTS_MS })
  await smtp.verify().finally(() => { smtp.close() })
}

/** Loads nodemailer with the first mail, because many servers never send one. */
function onDemand<T> (make: (nodemailer: typeof import('nodemailer')) => T) {
  let made: Promise<T> | undefined
  return async () => await (made ??= import('nodemailer').then(make))
}

/** The mail with a body that is not quoted-printable, so that a link can be copied from the file. */
function readable (message: Buffer) {
  const end = message.indexOf('\r\n\r\n')
  const body = message.toString('latin1', end)
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_quoted, code: string) => String.fromCharCode(parseInt(code, 16)))
  return Buffer.from(message.toString('latin1', 0, end).replace('quoted-printable', '8bit') + body, 'latin1')
}
