import t from 'tap'
import { mailboxOf } from '../../src/accounts/address.ts'

t.test('all spellings of one mailbox are normalized to the same one', async t => {
  t.equal(mailboxOf('Ann@Example.COM'), 'Ann@example.com')
  t.equal(mailboxOf('ann@B\u00fccher.example'), 'ann@b\u00fccher.example')
  t.equal(mailboxOf('ann@xn--bcher-kva.example'), 'ann@b\u00fccher.example')
  for (const domain of ['example.com.', 'EXAMPLE.com\u3002']) t.equal(mailboxOf(`ann@${domain}`), 'ann@example.com', 'a dot at the end names the root of all domains')
  t.equal(mailboxOf('ann@b\u00fccher.example.'), 'ann@b\u00fccher.example')
  t.equal(mailboxOf('ann@\u00e9%'), 'ann@\u00e9%', 'an invalid domain is not changed')
  t.equal(mailboxOf('ann@.'), 'ann@.')
})
