import { domainToASCII, domainToUnicode } from 'node:url'

/**
 * Gives the one spelling under which a mailbox is stored and counted, so that nobody gets past the limit on mails by
 * writing one mailbox in several ways. The domain is compared as browsers and resolvers do: `ＥＸＡＭＰＬＥ。com` and
 * `xn--` forms lead to the same server as the plain name. Before the @ only the composition of characters is unified:
 * its case is compared in SQL, and what dots and `+tags` mean differs between providers.
 */
export function mailboxOf (address: string): string {
  const at = address.lastIndexOf('@')
  const domain = address.slice(at + 1)
  const isPlain = /^[\x21-\x7e]+$/.test(domain) && !/xn--/i.test(domain)
  // A domain that is none (too long a label, say) stays as it is: no mail reaches it.
  const unified = isPlain ? domain.toLowerCase() : domainToUnicode(domainToASCII(domain)) || domain
  return `${address.slice(0, at).normalize('NFC')}@${unified}`
}
