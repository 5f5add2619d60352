import t from 'tap'
import { createIdentityStore } from '../../src/accounts/identity-store.ts'
import { createDb } from '../../src/db/client.ts'
import { freshDatabase, silent } from '../support/helper.ts'
import { connect, isWaiting } from '../support/process.ts'

t.test('of two people with the same further address who come at the same moment, one gets its user', async t => {
  const connection = await freshDatabase(t)
  const [watcher, holder] = [await connect(t, connection), await connect(t, connection)]
  const db = createDb(connection, silent)
  t.teardown(() => db.$client.end())
  const { identify } = createIdentityStore(db, 'whatsapp')
  const phone = '4915100000001'
  const known = await identify([phone], { phone })

  t.comment('Both find that the user has no further address, and wait for the user’s row')
  await holder.query('BEGIN; SELECT FROM users FOR UPDATE')
  const people = ['DE.1', 'DE.2'].map(userId => identify([userId, phone], { phone }))
  await isWaiting(watcher, 2)
  await holder.query('COMMIT')

  const users = await Promise.all(people)
  t.equal(users.filter(user => user === known).length, 1)
  t.equal(new Set(users).size, 2, 'the other one is a new user')
  const { rows } = await watcher.query('SELECT user_id::int AS user, count(*)::int AS addresses FROM identities GROUP BY 1 ORDER BY 1')
  t.same(rows, [{ user: known, addresses: 2 }, { user: known + 1, addresses: 1 }])
})
