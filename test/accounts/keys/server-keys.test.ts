import t from 'tap'
import { holdLock, startApp, type Client } from '../../support/helper.ts'
import { bearer } from '../../support/issuer.ts'
import { connect, listen, next, refused, startLive } from '../../support/live.ts'
import { isPrompt } from '../../support/prompt.ts'

// Servers of the operator's: their keys, their users, and what they do for them.

type App = Awaited<ReturnType<typeof startApp>>

async function adminOf ({ as, query }: App): Promise<Client> {
  const boss = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  return boss
}

/** A client with a new key of these scopes, and the key's id. */
async function serverWith (app: App, boss: Client, scopes: string[], more: object = {}) {
  const { id, key } = (await boss.post('/api/admin/keys', { name: 'shop', scopes, ...more })).json()
  return { id, key, server: app.clientOf(bearer(key)), acting: (user: string) => app.clientOf({ ...bearer(key), 'x-act-as': user }) }
}

t.test('keys are shown once, listed with their last use, and revoked at once', async t => {
  const app = await startApp(t)
  const boss = await adminOf(app)
  const made = await boss.post('/api/admin/keys', { name: 'shop', scopes: ['users', 'act'], expires_at: new Date(Date.now() + 3_600_000).toISOString() })
  t.equal(made.statusCode, 201)
  t.equal(made.headers['cache-control'], 'no-store')
  const { id, key } = made.json()
  t.match(key, /^pk_[\w-]{43}$/)
  t.match(made.json(), { name: 'shop', scopes: ['users', 'act'], last_used_at: null, revoked_at: null })
  t.notOk((await app.query('SELECT row_to_json(k)::text AS row FROM server_keys k'))[0].row.includes(key), 'only a hash is stored')
  const server = app.clientOf(bearer(key))
  t.equal((await server.put('/api/users/1', {})).statusCode, 201)
  t.equal((await server.get('/api/users/1')).statusCode, 200)
  const listed = (await boss.get('/api/admin/keys')).json()
  t.match(listed, [{ id, last_used_at: String, expires_at: String }])
  t.notOk(JSON.stringify(listed).includes(key))
  const others = await serverWith(app, boss, ['users'])
  const page = await boss.get('/api/admin/keys?limit=1')
  t.match(page.json(), [{ id: others.id }])
  t.match((await boss.get(/<([^>]+)>/.exec(String(page.headers['link']))![1]!)).json(), [{ id }])

  t.equal((await boss.delete(`/api/admin/keys/${id}`)).statusCode, 204)
  const gone = { code: 'UNAUTHORIZED', error: 'This key does not exist, was revoked or has expired' }
  t.match((await server.get('/api/users/1')).json(), gone)
  t.match((await server.get('/api/me', { 'x-act-as': '1' })).json(), gone)
  t.match((await boss.get('/api/users/1')).json(), { code: 'UNAUTHORIZED', error: 'This needs a server key, as Authorization: Bearer pk_…' }, 'who is logged in is not told to log in')
  t.match((await boss.delete(`/api/admin/keys/${id}`)).json(), { code: 'KEY_NOT_FOUND' })
  t.equal((await others.server.get('/api/users/1')).statusCode, 200)
  await app.query("UPDATE server_keys SET expires_at = now() WHERE name = 'shop'")
  t.match((await others.server.get('/api/users/1')).json(), { code: 'UNAUTHORIZED' }, 'expired')
  for (const wrong of [{ scopes: [] }, { scopes: ['all'] }, { scopes: ['act', 'act'] }, { scopes: ['act'], expires_at: 'tomorrow' }, { scopes: ['act'], expires_at: '2099-13-01T00:00:00Z' }, { scopes: ['act'], expires_at: '2099-02-30T00:00:00Z' }, { scopes: ['act'], expires_at: '2020-01-01T00:00:00Z' }]) {
    t.equal((await boss.post('/api/admin/keys', { name: 'shop', ...wrong })).statusCode, 400, JSON.stringify(wrong))
  }
  t.match((await boss.get('/api/admin/log')).json().map(({ action }: { action: string }) => action), ['key.revoke', 'key.create', 'user.create', 'key.create'])
})

t.test('a server manages its users, by its own ids', async t => {
  const app = await startApp(t)
  const boss = await adminOf(app)
  const { id: key, server } = await serverWith(app, boss, ['users'])
  await app.query("UPDATE users SET email = 'boss@example.com', email_verified_at = now() WHERE username = 'boss'")
  const url = '/api/users/customer%2F42'
  t.match((await server.get(url)).json(), { code: 'USER_NOT_FOUND' })
  const made = await Promise.all(Array.from({ length: 20 }, () => server.put(url, { name: 'Ann', email: 'ann@example.com', picture: 'https://example.com/a.png' })))
  t.equal(made.filter(({ statusCode }) => statusCode === 201).length, 1, 'of twenty at once one makes the user')
  t.ok(made.every(({ statusCode }) => [200, 201].includes(statusCode)))
  const { id } = made[0]!.json()
  t.match((await server.get(url)).json(), { id, external_id: 'customer/42', name: 'Ann', email: 'ann@example.com', picture: 'https://example.com/a.png', is_locked: false })
  t.match((await server.put(url, { name: 'Anna', email: 'boss@example.com' })).json(), { id, name: 'Anna', email: 'ann@example.com' }, 'another’s address stays with them')
  t.match((await server.put(url, {})).json(), { id, name: 'Anna' }, 'what is left out stays')
  t.equal((await server.put('/api/users/white%20space', {})).statusCode, 400)
  t.equal((await server.put(url, { picture: 'javascript:alert(1)' })).statusCode, 400)
  const before = (await boss.get('/api/admin/log')).json().length
  t.match((await server.put(url, { name: 'Anna', email: 'ann@example.com' })).json(), { id, name: 'Anna' }, 'the same again')
  t.equal((await boss.get('/api/admin/log')).json().length, before)
  t.equal((await server.delete(url)).statusCode, 204)
  t.match((await server.delete(url)).json(), { code: 'USER_NOT_FOUND' })
  t.match((await boss.get('/api/admin/log')).json(), [
    { action: 'user.delete', user_id: id, admin_id: 0, admin_name: 'shop', details: { key } },
    { action: 'user.change', user_id: id, details: { key } },
    { action: 'user.create', user_id: id, details: { key } },
    { action: 'key.create', admin_name: 'boss', details: { key, scopes: ['users'] } }
  ], 'and what changed nothing is not there')
})

t.test('a server keeps an object with a user, which is stored unchanged and returned wherever the user’s own record is', async t => {
  const app = await startApp(t)
  const boss = await adminOf(app)
  const { server, acting } = await serverWith(app, boss, ['users', 'act'])
  const metadata = { z: 1, a: [null, true, 1.5, 1e300], '': { 'ä"\\': '😀\u2028' } }
  t.same((await server.put('/api/users/zoe', { name: 'Zoe' })).json().metadata, {})
  t.equal((await server.put('/api/users/zoe', { metadata })).statusCode, 200)
  const logged = async () => (await boss.get('/api/admin/log?action=user.change')).json().length
  t.equal(await logged(), 1)
  await server.put('/api/users/zoe', { metadata })
  t.equal(await logged(), 1, 'the same again changes nothing')
  const zoe = acting('zoe')
  const inside = `"metadata":${JSON.stringify(metadata)}`
  for (const { body } of [await server.put('/api/users/zoe', { name: 'Zoë' }), await server.get('/api/users/zoe'), await zoe.get('/api/me'), await zoe.patch('/api/me', { name: 'Z.' }), await zoe.get('/api/me/export')]) {
    t.ok(body.includes(inside), 'unchanged, with the keys in the same order')
  }
  t.match((await zoe.patch('/api/me', { metadata: { mine: 1 } })).json(), { metadata }, 'users do not change it themselves')
  t.same((await server.put('/api/users/zoe', { metadata: { plan: 'gold' } })).json().metadata, { plan: 'gold' }, 'it is replaced as a whole')
  t.same((await (await app.as('bob')).get('/api/me')).json().metadata, {}, 'a user of nobody’s server has none')

  const details = async (metadata: unknown) => (await server.put('/api/users/zoe', { metadata })).json().details
  const tooLarge = [{ path: 'metadata', message: 'may have at most 4 KiB as JSON, and 100 levels' }]
  t.same(await details({ a: 'x'.repeat(4096 - 7) }), tooLarge)
  t.same(await details({ a: 'ä'.repeat(2045) }), tooLarge, 'in bytes')
  for (const wrong of [[1], 'text', 1, null]) t.same(await details(wrong), [{ path: 'metadata', message: 'must be an object' }])
  t.same((await server.get('/api/users/zoe')).json().metadata, { plan: 'gold' })
  t.equal((await server.put('/api/users/zoe', { metadata: { a: 'x'.repeat(4096 - 8) } })).statusCode, 200)

  app.bots.takeOver()
  await server.put('/api/users/zoe', { metadata: { plan: 'silver' } })
  const sent = zoe.post(`/api/conversations/${await app.slowChat(zoe)}/messages`, { text: 'Hi' })
  const { context, end } = await app.bots.call(1)
  end()
  await sent
  t.match(context.user, { name: 'Z.', metadata: { plan: 'silver' } }, 'and bots get it')
})

t.test('a server acts for its users, on every route, as far as its scopes go', async t => {
  const app = await startApp(t)
  const boss = await adminOf(app)
  const { server, acting, id: key } = await serverWith(app, boss, ['users', 'act'])
  await server.put('/api/users/ann', { name: 'Ann' })
  await server.put('/api/users/bob', { name: 'Bob' })
  const ann = acting('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  t.match((await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' })).json(), [{ username: 'Ann', text: 'Hi' }, { sender: 'bot' }])
  t.equal((await acting('bob').get(`/api/conversations/${id}`)).statusCode, 404)
  t.match((await ann.get('/api/me')).json(), { name: 'Ann', issuer: '', external_id: 'ann' })
  const sessions = (await ann.get('/api/me/sessions')).json()
  t.match(sessions, [{ kind: 'server_key', user_agent: 'shop', is_current: true }])
  t.equal(sessions.length, 1, 'one for all its requests')
  t.match((await boss.get('/api/admin/log?action=key.act')).json(), [
    { admin_name: 'shop', details: { key, method: 'POST', route: '/api/conversations/:id/messages' } }, { details: { key, method: 'POST', route: '/api/conversations' } }
  ])

  t.match((await acting('nobody').get('/api/me')).json(), { code: 'USER_NOT_FOUND' })
  t.match((await server.get('/api/me')).json(), { code: 'UNAUTHORIZED', error: 'A server key must name a user in the header X-Act-As here' })
  t.match((await server.post(`/api/conversations/${id}/messages`, { text: 'Hi' })).json(), {
    code: 'UNAUTHORIZED', error: 'A server key must name a user in the header X-Act-As, or a bot or an agent in the field as'
  })
  const reader = await serverWith(app, boss, ['read'])
  t.equal((await reader.acting('ann').get(`/api/conversations/${id}`)).statusCode, 200)
  t.equal((await reader.server.get('/api/users/ann')).statusCode, 200)
  t.match((await reader.acting('ann').delete(`/api/conversations/${id}`)).json(), { code: 'MISSING_SCOPE' })
  t.match((await reader.server.put('/api/users/ann', {})).json(), { code: 'MISSING_SCOPE' })
  t.match((await (await serverWith(app, boss, ['users'])).acting('ann').get('/api/me')).json(), { code: 'MISSING_SCOPE' })
  await app.query("UPDATE users SET role = 'admin' WHERE name = 'Ann'")
  t.match((await ann.get('/api/admin/users')).json(), { code: 'NOT_AN_ADMIN' }, 'not even for an admin')
  const { id: bob } = (await server.get('/api/users/bob')).json()
  await boss.patch(`/api/admin/users/${bob}`, { is_locked: true })
  t.match((await acting('bob').get('/api/me')).json(), { code: 'ACCOUNT_LOCKED' }, 'locked')
  t.match((await server.post('/api/users/bob/tokens', {})).json(), { code: 'ACCOUNT_LOCKED' })
  t.match((await server.get('/api/users/bob')).json(), { is_locked: true })
})

t.test('a user who is locked or deleted while a session is begun for them', async t => {
  const app = await startApp(t)
  const boss = await adminOf(app)
  const { server, acting } = await serverWith(app, boss, ['users', 'act'])
  for (const begin of [() => server.post('/api/users/ann/tokens', {}), () => acting('ann').get('/api/me')]) {
    for (const [meanwhile, code] of [["UPDATE users SET locked_at = now() WHERE name = 'Ann'", 'ACCOUNT_LOCKED'], ["DELETE FROM users WHERE name = 'Ann'", 'USER_NOT_FOUND']] as const) {
      await server.put('/api/users/ann', { name: 'Ann' })
      const lock = await holdLock(t, app.connection, 0)
      await lock.query(meanwhile)
      const answer = begin()
      await lock.until(1)
      await lock.release()
      t.match((await answer).json(), { code })
      await app.query("DELETE FROM users WHERE name = 'Ann'")
    }
  }
})

t.test('tokens for a browser, which end with the key', async t => {
  const app = await startLive(t)
  const boss = await adminOf(app)
  const expires = Date.now() + 600_000
  const { server, acting, id: key } = await serverWith(app, boss, ['users', 'act'], { expires_at: new Date(expires).toISOString() })
  await server.put('/api/users/ann', { name: 'Ann' })
  const minted = await server.post('/api/users/ann/tokens', { expires_in: 300 })
  t.equal(minted.statusCode, 201)
  t.equal(minted.headers['cache-control'], 'no-store')
  const { token, expires_at } = minted.json()
  t.ok(Math.abs(Date.parse(expires_at) - Date.now() - 300_000) < 10_000)
  t.ok(Date.parse((await server.post('/api/users/ann/tokens', { expires_in: 86_400 })).json().expires_at) <= expires + 2_000, 'not longer than the key')
  for (const expires_in of [59, 86_401, '60']) t.equal((await server.post('/api/users/ann/tokens', { expires_in })).statusCode, 400)
  t.match((await server.post('/api/users/nobody/tokens', {})).json(), { code: 'USER_NOT_FOUND' })
  const ann = app.clientOf(bearer(token))
  t.match((await ann.get('/api/me')).json(), { name: 'Ann' })
  t.match((await ann.get('/api/me/sessions')).json(), [{ kind: 'access_token' }, { kind: 'access_token', is_current: true }])
  t.match((await boss.get('/api/admin/log?action=user.token')).json(), [{ details: { key } }, { details: { key } }])

  const { id } = (await acting('ann').post('/api/conversations', { name: 'Plans' })).json()
  const socket = await connect(t, app.url, { auth: { token } })
  const stream = await listen(t, `${app.url}/api/conversations/${id}/events`, acting('ann').headers)
  t.equal(stream.status, 200)
  const began = performance.now()
  const gone = next(socket, 'disconnect')
  await boss.delete(`/api/admin/keys/${key}`)
  await Promise.all([gone, stream.ended])
  isPrompt(t, began, 1_000)
  t.equal((await ann.get('/api/me')).statusCode, 401)
})

t.test('many first requests for a user share one session, and a key that expires ends it', async t => {
  const app = await startLive(t)
  const boss = await adminOf(app)
  const { server, acting, id: key } = await serverWith(app, boss, ['users', 'act'])
  await server.put('/api/users/ann', {})
  const ann = acting('ann')
  const made = await Promise.all(Array.from({ length: 20 }, () => ann.post('/api/conversations', { name: 'Plans' })))
  t.same(made.map(({ statusCode }) => statusCode), Array(20).fill(201))
  t.equal((await ann.get('/api/me/sessions')).json().length, 1)
  const stream = await listen(t, `${app.url}/api/conversations/${made[0]!.json().id}/events`, ann.headers)
  t.equal(stream.status, 200)
  const began = performance.now()
  await app.query('UPDATE server_keys SET expires_at = now() WHERE id = $1', [key])
  await stream.ended
  isPrompt(t, began, 1_000)
})

t.test('a server acts for a user on a socket', async t => {
  const app = await startLive(t)
  const boss = await adminOf(app)
  const { server, key, id } = await serverWith(app, boss, ['users', 'act'])
  await server.put('/api/users/ann', { name: 'Ann' })
  const socket = await connect(t, app.url, { auth: { token: key }, extraHeaders: { 'x-act-as': 'ann' } })
  t.match(await socket.emitWithAck('start_chat', { name: 'Plans' }), { chat_session_id: Number })
  t.match((await boss.get('/api/admin/log?action=key.act')).json(), [{ details: { key: id, method: 'CONNECT', route: '/socket.io/' } }])
  t.match(await refused(t, app.url, { auth: { token: key } }), { data: { code: 'UNAUTHORIZED' } })
  t.match(await refused(t, app.url, { auth: { token: key }, extraHeaders: { 'x-act-as': 'bob' } }), { data: { code: 'USER_NOT_FOUND' } })
  const reader = await serverWith(app, boss, ['read'])
  t.match(await refused(t, app.url, { auth: { token: reader.key }, extraHeaders: { 'x-act-as': 'ann' } }), { data: { code: 'MISSING_SCOPE' } })
  const gone = next(socket, 'disconnect')
  const began = performance.now()
  await boss.delete(`/api/admin/keys/${id}`)
  await gone
  isPrompt(t, began, 1_000)
})

t.test('a key lets guests in, until it is revoked', async t => {
  const app = await startApp(t, { API_KEYS: 'pk_of-the-settings' })
  const boss = await adminOf(app)
  const { key, id } = await serverWith(app, boss, ['guests'])
  const entered = (await app.anyone.get('/chat/initial', { 'x-api-key': key })).json()
  t.match(entered, { token: String, text: String })
  const guest = app.clientOf(bearer(entered.token))
  t.equal((await guest.post('/chat', { content: 'Hi' })).statusCode, 200)
  t.match((await boss.get('/api/admin/log')).json(), [{ action: 'user.create', admin_name: 'shop', user_id: Number, details: { key: id } }, { action: 'key.create' }])
  const { key: other } = await serverWith(app, boss, ['users', 'act', 'read', 'v1'])
  for (const wrong of [other, `${key}x`, 'pk_']) t.match((await app.anyone.get('/chat/initial', { 'x-api-key': wrong })).json(), { code: 'INVALID_API_KEY' })
  t.equal((await app.anyone.get('/chat/initial', { 'x-api-key': 'pk_of-the-settings' })).statusCode, 200, 'a key of the settings may begin in the same way')
  await boss.delete(`/api/admin/keys/${id}`)
  t.match((await app.anyone.get('/chat/initial', { 'x-api-key': key })).json(), { code: 'INVALID_API_KEY' })
  t.equal((await guest.post('/chat', { content: 'Hi' })).statusCode, 401)
})
