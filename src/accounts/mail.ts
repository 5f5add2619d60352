import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../config.ts'

export interface Mail {
  /** The same for a repeated mail, so that mail programs show one. */
  id: string
  /** Of the file, when there is no server to send it. */
  name: string
  to: string
  subject: string
  text: string
}
export type SendMail = (mail: Mail) => Promise<void>

/** Milliseconds: a server that does not answer is given up while a server that closes still waits for its jobs. */
const PATIENCE = { connectionTimeout: 5_000, greetingTimeout: 5_000, socketTimeout: 10_000 }

/** Sends mail over SMTP, or into files that only their owner reads, since a mail opens an account. */
export function createMailer ({ SMTP_URL, MAIL_FROM, DATA_DIR }: Pick<Config, 'SMTP_URL' | 'MAIL_FROM' | 'DATA_DIR'>, log: Pick<FastifyBaseLogger, 'info'>): SendMail {
  const domain = MAIL_FROM.slice(MAIL_FROM.lastIndexOf('@') + 1).replace(/^([^>]*)>.*$/, '$1').trim()
  const compose = ({ id, to, subject, text }: Mail) => ({
    from: MAIL_FROM,
    to: { name: '', address: to }, // one address, whatever characters are in it
    subject,
    text,
    messageId: `<${id}@${domain}>`,
    headers: { 'Auto-Submitted': 'auto-generated' } // or holiday notes would answer, see RFC 3834
  })

  if (SMTP_URL !== undefined) {
    const smtp = onDemand(({ createTransport }) => createTransport({ url: SMTP_URL, ...PATIENCE }))
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

/** Checks whether the mail server of this SMTP URL accepts mail from us. @throws what the server says */
export async function reachMailServer (url: string): Promise<void> {
  const { createTransport } = await import('nodemailer')
  const smtp = createTransport({ url, ...PATIENCE })
  await smtp.verify().finally(() => { smtp.close() })
}

/** Made of nodemailer with the first mail, since many servers send none. */
function onDemand<T> (make: (nodemailer: typeof import('nodemailer')) => T) {
  let made: Promise<T> | undefined
  return async () => await (made ??= import('nodemailer').then(make))
}

/** The body as it is meant and not quoted, so that a link can be copied from the file. */
function readable (message: Buffer) {
  const end = message.indexOf('\r\n\r\n')
  const body = message.toString('latin1', end)
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_quoted, code: string) => String.fromCharCode(parseInt(code, 16)))
  return Buffer.from(message.toString('latin1', 0, end).replace('quoted-printable', '8bit') + body, 'latin1')
}
