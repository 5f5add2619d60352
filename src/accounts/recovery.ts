import { createHash, createHmac, hkdfSync } from 'node:crypto'
import type { Config } from '../config.ts'
import { INVALID_LINK } from '../errors.ts'
import { isSameSecret } from '../text/same-secret.ts'
import type { SendMail } from './mail.ts'
import type { Passwords } from './passwords.ts'
import type { Purpose, RecoveryStore, Token } from './recovery-store.ts'
import type { Sessions } from './sessions.ts'

export type Tokens = ReturnType<typeof createTokens>
export type Recovery = ReturnType<typeof createRecovery>

/**
 * A token consists of a row's id and an HMAC over the row's content. Read access to the database is not enough to make one,
 * and a mail that is sent again has the same token.
 */
export function createTokens (secret: string, formerSecret = secret) {
  const [key, formerKey] = [secret, formerSecret].map(each => Buffer.from(hkdfSync('sha256', each, '', 'one-time tokens', 32))) as [Buffer, Buffer]

  const proof = ({ id, purpose, userId, address, expiresAt }: Token, by = key) =>
    createHmac('sha256', by).update(JSON.stringify([id, purpose, userId, address, expiresAt.toISOString()])).digest()

  return {
    of: (row: Token) => `${row.id}.${proof(row).toString('base64url')}`,
    /** Whether this is the token of the row. Accepts tokens that were made with the former secret. */
    proves: (token: string, row: Token) => {
      const given = Buffer.from(token.slice(token.indexOf('.') + 1), 'base64url')
      return [key, formerKey].some(by => isSameSecret(given, proof(row, by)))
    }
  }
}

const FORM = /^(\d{1,15})\.[\w-]{43}$/

/** Handles the links in mails. */
export function createRecovery (recovery: RecoveryStore, tokens: Tokens, passwords: Passwords, sessions: Pick<Sessions, 'announce'>) {
  async function redeemable (token: string, purpose: Purpose) {
    const [, id] = FORM.exec(token) ?? []
    const row = id === undefined ? undefined : await recovery.find(Number(id))
    if (row?.purpose !== purpose || !tokens.proves(token, row)) throw new INVALID_LINK()
    return row
  }

  return {
    /** Checks the link before it hashes the password, which is slow. @throws INVALID_LINK; INVALID_PASSWORD, after which the link is still valid */
    async resetPassword (token: string, password: string) {
      const row = await redeemable(token, 'password_reset')
      await sessions.announce(await recovery.resetPassword(row, await passwords.hash(password)))
    },

    /** @throws INVALID_LINK; EMAIL_TAKEN when another account has verified this address */
    async verifyEmail (token: string) {
      await recovery.verifyEmail(await redeemable(token, 'email_verification'))
    }
  }
}

/**
 * The mails. The token is in the URL's fragment, which browsers send to no server, so that it does not appear in logs,
 * proxies or `Referer`. An unverified address may belong to a stranger, so the mail to it must not contain any text that
 * the person who entered the address could choose.
 */
const MAILS: Record<Purpose, { fragment: string, subject: string, text: (link: string, username: string) => string }> = {
  password_reset: {
    fragment: 'reset-password',
    subject: 'Reset your password',
    text: (link, username) => `somebody, hopefully you, forgot the password of the account ${username}. To choose a new one, please open this link within an hour:

${link}

If it was not you, there is nothing to do: the password stays as it is.`
  },
  email_verification: {
    fragment: 'verify-email',
    subject: 'Confirm your e-mail address',
    text: link => `this address was given for an account of yours. To confirm that it is yours, please open this link within a day:

${link}

If it was not you, there is nothing to do: the address stays unconfirmed.`
  }
}

/** The address of the page, without a slash at the end. */
export function originOf ({ PUBLIC_URL, PORT }: Pick<Config, 'PUBLIC_URL' | 'PORT'>): string {
  return PUBLIC_URL?.replace(/\/$/, '') ?? `http://localhost:${PORT}`
}

/** Sends the mail with a token's link, unless the token is not valid any more. */
export function createRecoveryMail (recovery: RecoveryStore, tokens: Tokens, send: SendMail, { PUBLIC_URL, PORT }: Pick<Config, 'PUBLIC_URL' | 'PORT'>) {
  const origin = originOf({ PUBLIC_URL, PORT })

  return async function sendRecoveryMail (tokenId: number) {
    const row = await recovery.find(tokenId)
    if (row === undefined) return
    const { fragment, subject, text } = MAILS[row.purpose]
    const token = tokens.of(row)
    await send({
      // A hash: mail servers log the Message-ID, so it must not reveal the token.
      id: createHash('sha256').update(token).digest('hex').slice(0, 32),
      name: `${fragment}-${row.id}`,
      to: row.address,
      subject,
      text: `Hello,\n\n${text(`${origin}/#${fragment}=${token}`, row.username)}\n`
    })
  }
}
