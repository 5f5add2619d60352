import t from 'tap'
import { readFileSync } from 'node:fs'
import { FAILURE_CODES, FAILURES, failureCodeOf } from '../../src/failures.ts'
import { words } from '../../web/src/words.ts'
import { API_KEY, startApp } from '../support/helper.ts'
import { listen, openSocket, openStream } from '../support/reader.ts'
import { readDescription } from '../support/routes.ts'

// Failure codes: how clients, users and operators see why a bot could not answer.

const FIELDS = ['id', 'rev', 'sender', 'username', 'text', 'status', 'created_at']

t.test('a failed message has an error code wherever it is shown; other messages have none', async t => {
  const { app, bots, as, slowChat, query } = await startApp(t)
  bots.takeOver()
  const base = await listen({ app })
  const ann = await as('ann')
  const id = await slowChat(ann)
  const url = `/api/conversations/${id}`
  const socket = await openSocket(t, base, ann)
  await socket.join(id, 0)
  const failing = Object.assign(new Error('a wrong key'), { failure: 'BOT_REFUSED' })

  const sent = ann.post(`${url}/messages`, { text: 'Hi', client_id: 'c1' })
  ;(await bots.call(1)).fail(failing)
  const [question, failed] = (await sent).json()
  t.match(failed, { status: 'failed', failure: 'BOT_REFUSED' }, 'the response of POST')
  t.same(Object.keys(question), FIELDS)
  t.same(Object.keys(failed), [...FIELDS, 'failure'])

  const same = async (what: string, messages: unknown) => t.same(messages, [question, failed], what)
  await same('sent again', (await ann.post(`${url}/messages`, { text: 'Hi', client_id: 'c1' })).json())
  await same('a page', (await ann.get(`${url}/messages`)).json())
  await same('what changed', (await ann.get(`${url}/messages?after=0`)).json())
  await same('the conversation', (await ann.get(url)).json().messages)
  await same('the list of conversations', (await ann.get('/api/conversations')).json()[0].messages)
  await same('one by one', [(await ann.get(`${url}/messages/1`)).json(), (await ann.get(`${url}/messages/2`)).json()])
  const exported = (await ann.get('/api/me/export')).json().conversations[0].messages
  t.match(exported, [{ id: 1 }, { id: 2, failure: 'BOT_REFUSED' }])
  t.notOk('failure' in exported[0] || 'error' in exported[0] || 'error' in exported[1])

  const live = (message: object) => ({ ...message, chat_session_id: id })
  await socket.screen.until(() => socket.screen.status(2) === 'failed')
  t.same(socket.events.at(-1)!.data, { ...live(failed), isLocal: false }, 'an event on a socket')
  const late = await openSocket(t, base, ann)
  t.same((await late.join(id, 0)).messages, [{ ...live(question), isLocal: true }, { ...live(failed), isLocal: false }], 'a socket that joins later')
  const events = await openStream(t, `${base}${url}/events?after=0`, ann)
  await events.screen.until(() => events.screen.status(2) === 'failed')
  t.same(events.events.map(({ data }) => data), [question, failed], 'an event stream')
  const posted = openStream(t, `${base}${url}/messages`, ann, { body: { text: 'And?' } })
  ;(await bots.call(2)).fail(new Error('nobody knows'))
  const stream = await posted
  await stream.ended
  t.match(stream.events.at(-1)!.data, { id: 5, status: 'failed', failure: 'BOT_BROKE_OFF' }, 'a stream that answers a POST')

  const again = ann.post(`${url}/messages/5/regenerate`)
  const third = await bots.call(3)
  t.same(Object.keys((await ann.get(`${url}/messages/5`)).json()), FIELDS, 'a reply that is regenerated has no failure')
  third.fail(Object.assign(new Error('whatever'), { failure: 'SOMETHING_OF_ITS_OWN' }))
  t.match((await again).json(), { status: 'failed', failure: 'BOT_BROKE_OFF' }, 'an unknown code is not shown')

  // As an older version with other codes may have stored it.
  await query("UPDATE messages SET error = 'BOT_IN_A_MOOD' WHERE id = 2; UPDATE messages SET error = NULL WHERE id = 5")
  for (const answer of [await ann.get(`${url}/messages`), await ann.get(`${url}/messages?after=0`)]) {
    t.match(answer.json().filter(({ status }: { status: string }) => status === 'failed'), [{ failure: 'BOT_BROKE_OFF' }, { failure: 'BOT_BROKE_OFF' }])
  }
  t.match((await ann.get('/api/me/export')).json().conversations[0].messages[1], { failure: 'BOT_BROKE_OFF' })
  await query("UPDATE messages SET error = 'BOT_SILENT' WHERE id = 1")
  t.same(Object.keys((await ann.get(`${url}/messages/1`)).json()), FIELDS, 'a message that has not failed has no `failure`')
})

t.test('each code is documented, and has a sentence for operators and one for users', async t => {
  const { paths } = await readDescription(await startApp(t))
  const { schema } = paths['/api/conversations/{id}/messages/{message}'].get.responses[200].content['application/json']
  t.same(schema.properties.failure.enum, FAILURE_CODES)
  t.notOk(schema.required.includes('failure'))
  const docs = readFileSync('docs/bots.md', 'utf8')
  const [, table] = /## When a bot fails\n(.*)/s.exec(docs)!
  const documented = [...table!.matchAll(/^\| `([A-Z_]+)` \| (.+) \|$/gm)]
  t.same(documented.map(([, code]) => code).sort(), [...FAILURE_CODES].sort(), 'docs/bots.md lists exactly these codes')
  for (const code of FAILURE_CODES) {
    for (const sentence of [FAILURES[code], words.chat.failures[code]!]) t.match(sentence, /^[A-Z][^_]+\.$/, `${code}: ${sentence}`)
    t.equal(failureCodeOf(code), code)
  }
  const sentences = Object.values(words.chat.failures)
  t.equal(sentences.length, FAILURE_CODES.length)
  t.equal(new Set(sentences).size, sentences.length, 'each sentence is different')
  for (const unknown of [undefined, null, '', 'BOT', 7, 'toString']) t.equal(failureCodeOf(unknown), 'BOT_BROKE_OFF')
})

t.test('a deleted bot, or one that is not set up, fails with a code too', async t => {
  const { anyone, as, clientOf, query } = await startApp(t, { GUEST_BOT: 'assistant' })
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  await query("INSERT INTO chatbots (name, engine, settings) VALUES ('lost', 'simulated', '{\"bot\": \"lost\"}'), ('unscripted', 'guided', '{\"script\": \"lost\"}')")
  await query('DELETE FROM conversation_bots')
  await query("INSERT INTO conversation_bots SELECT $1, id FROM chatbots WHERE name IN ('assistant', 'lost', 'unscripted')", [id])
  const { json } = await ann.post(`/api/conversations/${id}/messages`, { text: '@assistant @lost @unscripted Hi' })
  t.match(json().slice(1), Array(3).fill({ status: 'failed', failure: 'BOT_NOT_CONFIGURED', text: '' }))
  t.match((await ann.get(`/api/conversations/${id}/bots`)).json(), Array(3).fill({ streaming: true, is_ready: false }))

  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  t.match((await anyone.post('/chat', { token, content: 'Hi' })).json(), { statusCode: 503, code: 'BOT_FAILED' }, 'a guest gets the error in the legacy format')
  const guest = clientOf({ authorization: `Bearer ${token}` })
  t.match((await guest.get('/api/conversations')).json()[0].messages[2], { status: 'failed', failure: 'BOT_NOT_CONFIGURED' })
})
