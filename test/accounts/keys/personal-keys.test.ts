import t from 'tap'
import { startApp } from '../../support/helper.ts'
import { bearer } from '../../support/issuer.ts'
import { connect, listen, next, startLive } from '../../support/live.ts'
import { until } from '../../support/process.ts'
import { isPrompt } from '../../support/prompt.ts'

// Keys for a user's own scripts.

t.test('a personal key is shown once, works on every door, and is a session of its user', async t => {
  const app = await startLive(t)
  const ann = await app.as('ann')
  const made = await ann.post('/api/me/keys', { name: 'Backup' })
  t.equal(made.statusCode, 201)
  t.equal(made.headers['cache-control'], 'no-store')
  const { id, key, expires_at: expires } = made.json()
  t.match(key, /^uk_[\w-]{43}$/)
  t.ok(Math.abs(Date.parse(expires) - Date.now() - 365 * 86_400_000) < 60_000, 'for a year')
  t.notOk((await app.query('SELECT row_to_json(s)::text AS row FROM sessions s ORDER BY id DESC LIMIT 1'))[0].row.includes(key), 'only a hash is stored')

  const script = app.clientOf(bearer(key))
  t.match((await script.get('/api/me')).json(), { username: 'ann' })
  t.match((await script.get('/api/me/sessions')).json(), [{ id, kind: 'personal_key', user_agent: 'Backup', is_current: true }, { kind: 'cookie' }])
  const { id: conversation } = (await script.post('/api/conversations', { name: 'Plans' })).json()
  const socket = await connect(t, app.url, { auth: { token: key } })
  const stream = await listen(t, `${app.url}/api/conversations/${conversation}/events`, bearer(key))
  t.equal(stream.status, 200)

  const bob = await app.as('bob')
  t.match((await bob.delete(`/api/me/keys/${id}`)).json(), { code: 'KEY_NOT_FOUND' })
  const [{ id: cookie }] = (await ann.get('/api/me/sessions?limit=1&before=' + id)).json()
  t.match((await ann.delete(`/api/me/keys/${cookie}`)).json(), { code: 'KEY_NOT_FOUND' }, 'a session that is no key')
  const began = performance.now()
  const gone = next(socket, 'disconnect')
  t.equal((await ann.delete(`/api/me/keys/${id}`)).statusCode, 204)
  await Promise.all([gone, stream.ended])
  isPrompt(t, began, 1_000)
  t.equal((await script.get('/api/me')).statusCode, 401)
  t.same((await ann.get('/api/me/keys')).json(), [])
})

t.test('keys are listed in pages, expire, and end with all sessions', async t => {
  const { as, clientOf, query } = await startApp(t)
  const ann = await as('ann')
  const keys = []
  for (const name of ['one', 'two']) keys.push((await ann.post('/api/me/keys', { name, expires_at: '2099-01-01T00:00:00Z' })).json())
  const page = await ann.get('/api/me/keys?limit=1')
  t.match(page.json(), [{ id: keys[1].id, name: 'two', expires_at: '2099-01-01T00:00:00.000Z', last_used_at: String }])
  t.notOk(page.body.includes(keys[1].key))
  t.match((await ann.get(/<([^>]+)>/.exec(String(page.headers['link']))![1]!)).json(), [{ id: keys[0].id, name: 'one' }])
  for (const wrong of ['tomorrow', '2020-01-01T00:00:00Z', '2099-13-01T00:00:00Z']) {
    t.equal((await ann.post('/api/me/keys', { name: 'wrong', expires_at: wrong })).statusCode, 400, wrong)
  }
  const [one, two] = keys.map(({ key }) => clientOf(bearer(key)))
  await query('UPDATE sessions SET expires_at = now() WHERE id = $1', [keys[0].id])
  t.equal((await one!.get('/api/me')).statusCode, 401)
  t.equal((await two!.get('/api/me')).statusCode, 200)
  await ann.patch('/api/me', { password: 'another horse', current_password: 'correct horse' })
  t.equal((await two!.get('/api/me')).statusCode, 401, 'a new password ends it')
})

t.test('a key creates no keys', async t => {
  const { as, clientOf, query } = await startApp(t)
  const boss = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  const script = clientOf(bearer((await boss.post('/api/me/keys', { name: 'script' })).json().key))
  t.equal((await script.get('/api/admin/users')).statusCode, 200, 'the key of an admin is an admin’s')
  t.match((await script.post('/api/me/keys', { name: 'another' })).json(), { code: 'MISSING_SCOPE' })
  t.match((await script.post('/api/admin/keys', { name: 'another', scopes: ['act'] })).json(), { code: 'MISSING_SCOPE' })
  t.match((await script.get('/api/me/keys')).json(), [{ name: 'script' }])
})

t.test('what a minted token creates ends with the server’s key', async t => {
  const { as, clientOf, query } = await startApp(t)
  const boss = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  const { id, key } = (await boss.post('/api/admin/keys', { name: 'shop', scopes: ['users', 'act'] })).json()
  const server = clientOf(bearer(key))
  await server.put('/api/users/zoe', {})
  t.match((await clientOf({ ...bearer(key), 'x-act-as': 'zoe' }).post('/api/me/keys', { name: 'a' })).json(), { code: 'MISSING_SCOPE' })
  const { token } = (await server.post('/api/users/zoe/tokens', {})).json()
  const zoe = clientOf(bearer((await clientOf(bearer(token)).post('/api/me/keys', { name: 'a' })).json().key))
  t.equal((await zoe.get('/api/me')).statusCode, 200)
  await boss.delete(`/api/admin/keys/${id}`)
  t.equal((await zoe.get('/api/me')).statusCode, 401)
})

t.test('a key is not created by a session that ends at that moment', async t => {
  const server = await startLive(t)
  const ann = await server.as('ann')
  // The request has been let in, and waits for the user's row, which is locked by what ends the sessions.
  const ender = await server.db.$client.connect()
  t.teardown(() => ender.release())
  await ender.query('BEGIN')
  await ender.query("SELECT FROM users WHERE username = 'ann' FOR UPDATE")
  const created = ann.post('/api/me/keys', { name: 'late' })
  await until(async () => (await server.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length > 0)
  await ender.query('UPDATE sessions SET revoked_at = now()')
  await ender.query('COMMIT')
  t.match((await created).json(), { code: 'UNAUTHORIZED' })
  t.same(await server.query("SELECT FROM sessions WHERE kind = 'personal_key'"), [])
})
