import t from 'tap'
import { createProviderUser } from '../../src/accounts/provider-user.ts'
import { SECRET } from '../support/constants.ts'

// The pseudonym of a user that model providers get.

t.test('a user has a pseudonym for providers that is always the same and reveals nothing', async t => {
  const userOf = createProviderUser(SECRET)
  t.match(userOf(1), /^u_[\w-]{32}$/)
  t.equal(createProviderUser(SECRET)(1), userOf(1))
  const names = [userOf(1), userOf(2), userOf(12), createProviderUser(`${SECRET}.`)(1)]
  t.equal(new Set(names).size, names.length)
})
