import t from 'tap'
import { createProviderUser } from '../../src/accounts/provider-user.ts'
import { SECRET } from '../support/constants.ts'

// The name by which a provider knows a user.

t.test('a provider knows a user by a name that is always the same and tells nothing', async t => {
  const userOf = createProviderUser(SECRET)
  t.match(userOf(1), /^u_[\w-]{32}$/)
  t.equal(createProviderUser(SECRET)(1), userOf(1))
  const names = [userOf(1), userOf(2), userOf(12), createProviderUser(`${SECRET}.`)(1)]
  t.equal(new Set(names).size, names.length)
})
