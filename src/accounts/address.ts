import { domainToASCII, domainToUnicode } from 'node:url'

/**
 * Normalizes an e-mail address, so that nobody can evade the limit on mails by writing the same mailbox in several ways.
 * The domain is normalized as browsers and resolvers do it, because `ＥＸＡＭＰＬＥ。com`, `xn--` forms and a dot at the end lead to
 * the same server as the plain name. Before the @ only the composition of characters is normalized: SQL compares it regardless
 * of case, and the meaning of dots and `+tags` differs between providers.
 */
export function mailboxOf (address: string): string {
  const at = address.lastIndexOf('@')
  const domain = address.slice(at + 1)
  const isPlain = /^[\x21-\x7e]+$/.test(domain) && !/xn--/i.test(domain)
  // An invalid domain (such as one with a label that is too long) is left as it is: no mail can be delivered to it.
  const unified = isPlain ? domain.toLowerCase() : domainToUnicode(domainToASCII(domain)) || domain
  return `${address.slice(0, at).normalize('NFC')}@${unified.replace(/(?<=[^.])\.$/, '')}`
}
