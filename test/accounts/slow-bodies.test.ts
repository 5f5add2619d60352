import { once } from 'node:events'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startLive, tokenOf, type Server } from '../support/live.ts'
import { keyWith } from '../support/routes.ts'

// Credentials are checked before the body is read, and a client may take a minute to send it.

const JSON_TYPE = { 'content-type': 'application/json' }

/** Sends a request without the end of its body. `finish` sends the rest, and gives the status and the body of the answer. */
async function begin ({ url }: Server, method: string, path: string, headers: Record<string, string>, body: object) {
  const sent = JSON.stringify(body)
  const request = http.request(url + path, { method, headers: { ...JSON_TYPE, ...headers } })
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>
  request.write(sent.slice(0, -1))
  return async function finish () {
    request.end(sent.at(-1))
    const [response] = await answered
    return { status: response.statusCode, body: await text(response) }
  }
}

t.test('who loses a right while the body of a request is being sent cannot use it any more', async t => {
  const server = await startLive(t)
  const { as, query, db, anyone } = server
  const [ann, bob, eve, zoe] = [await as('ann'), await as('bob'), await as('eve'), await as('zoe')]
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const { id: zoes } = (await zoe.post('/api/conversations', { name: 'Plans' })).json()
  await query("UPDATE users SET role = 'admin' WHERE username = 'bob'")
  const key = await keyWith(db, ['users', 'act'])
  await anyone.put('/api/users/carol', { name: 'Carol' }, key)
  const carols = (await anyone.post('/api/conversations', { name: 'Plans' }, { ...key, 'x-act-as': 'carol' })).json().id as number
  const bearer = (client: typeof ann) => ({ authorization: `Bearer ${tokenOf(client)}` })
  const message = await begin(server, 'POST', `/api/conversations/${id}/messages`, bearer(ann), { text: 'Hello' })
  const chat = await begin(server, 'POST', '/api/chat', bearer(eve), { id: 'a', messages: [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }] })
  const newKey = await begin(server, 'POST', '/api/admin/keys', bearer(bob), { name: 'mine', scopes: ['act'] })
  const user = await begin(server, 'PUT', '/api/users/dave', key, { name: 'Dave' })
  const acting = await begin(server, 'POST', `/api/conversations/${carols}/messages`, { ...key, 'x-act-as': 'carol' }, { text: 'Hello' })
  const allowed = await begin(server, 'POST', `/api/conversations/${zoes}/messages`, bearer(zoe), { text: 'Hello' })

  await sleep(300) // for the first checks
  for (const client of [ann, eve]) await client.post('/api/logout')
  await query("UPDATE users SET role = 'user' WHERE username = 'bob'")
  await query('UPDATE server_keys SET revoked_at = now()')
  await sleep(1_100)

  t.match(await message(), { status: 401, body: /UNAUTHORIZED/ }, 'a session that has ended stores no message')
  t.match(await chat(), { status: 401, body: 'Please log in' }, 'nor a chat of the AI SDK')
  t.match(await newKey(), { status: 403, body: /NOT_AN_ADMIN/ }, 'who is no admin any more creates no key')
  t.match(await user(), { status: 401, body: /UNAUTHORIZED/ }, 'a revoked key changes no users')
  t.match(await acting(), { status: 401, body: /UNAUTHORIZED/ }, 'and acts for none')
  t.match(await allowed(), { status: 201 }, 'all others may take their time')
  const { rows: [stored] } = await db.$client.query(`SELECT (SELECT count(*)::int FROM messages WHERE sender = 'user') AS messages, (SELECT count(*)::int FROM server_keys) AS keys,
    (SELECT count(*)::int FROM external_users) AS users`)
  t.same(stored, { messages: 1, keys: 1, users: 1 })
})
