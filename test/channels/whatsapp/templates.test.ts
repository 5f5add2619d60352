import t from 'tap'
import { contact, from, secondsAgo, status, text, webhook } from '../../support/meta.ts'
import { until } from '../../support/process.ts'
import { ANN, BOB, start, USER_ID } from '../../support/whatsapp.ts'

// Templates, with which admins write to contacts outside the 24-hour window, and the typing indicator.

t.test('a template is sent to a contact outside the 24-hour window, through the ledger, and is shown in the log', async t => {
  const { deliver, meta, ledgerIs, allDone, query, said, admin, as } = await start(t, { bot: 'simulated' })
  const root = await admin()
  const ann = await as('ann')
  const send = async (name: string, body: object, headers = {}) => await root.post(`/api/admin/whatsapp/templates/${name}`, body, headers)
  t.match((await ann.post('/api/admin/whatsapp/templates/reminder', { to: ANN, language: 'en' })).json(), { statusCode: 403, code: 'NOT_AN_ADMIN' })

  await deliver(webhook({ messages: [text(ANN, 'Hi', { timestamp: secondsAgo(25 * 60 * 60) })] }))
  await ledgerIs([{ state: 'window_closed' }])
  const answer = await send('order_ready', { to: `+${ANN}`, language: 'en_US', variables: ['Ann', '12345'] })
  t.equal(answer.statusCode, 201)
  t.match(answer.json(), { contact: ANN, part: 0, conversation_id: 1, message_id: 3, held_since: null })
  await ledgerIs([{}, { state: 'sent', contact: ANN, attempts: 1 }])
  t.same(meta.sent[0]!.body, {
    messaging_product: 'whatsapp',
    to: ANN,
    type: 'template',
    template: { name: 'order_ready', language: { code: 'en_US' }, components: [{ type: 'body', parameters: [{ type: 'text', text: 'Ann' }, { type: 'text', text: '12345' }] }] }
  })
  t.same(await said(ANN), ['user: Hi', 'bot: You said: Hi', 'bot: [template order_ready] Ann, 12345'])
  await deliver(webhook({ statuses: [status(meta.sent[0]!.id, ANN, 'read')] }))
  await ledgerIs([{}, { state: 'read' }])

  await send('order_ready', { to: BOB, language: 'en', variables: { name: 'Bob', order: '7' }, text: 'Hello Bob, order 7 is ready.' })
  await ledgerIs([{}, {}, { state: 'sent', contact: BOB }])
  t.match(meta.sent[1]!.body['template'], { components: [{ parameters: [{ type: 'text', parameter_name: 'name', text: 'Bob' }, { parameter_name: 'order', text: '7' }] }] })
  await deliver(from(BOB, 'Thanks'))
  await allDone()
  t.same(await said(BOB), ['bot: Hello Bob, order 7 is ready.', 'user: Thanks', 'bot: You said: Thanks'], 'the contact’s answer is stored in the conversation of the template')
  t.equal((await query("SELECT FROM users WHERE origin = 'whatsapp'")).length, 2)

  await send('hello_world', { to: USER_ID, language: 'en_US' })
  await meta.has(4)
  await allDone()
  t.same(meta.sent[3]!.body, { messaging_product: 'whatsapp', recipient: USER_ID, type: 'template', template: { name: 'hello_world', language: { code: 'en_US' } } })
  await send('order_ready', { to: USER_ID, language: 'en_US', variables: { name: 'Eve', order: '8' } })
  t.same(await said(USER_ID), ['bot: [template hello_world]', 'bot: [template order_ready] name: Eve, order: 8'])

  const pasted = ['+1 (650) 555-1234', '001 650 555 1234', '+001/650/5551234', '\u202a+1\u00a0650\u2011555\u20111234\u202c', '+١٦٥٠٥٥٥١٢٣٤', '＋１６５０５５５１２３４']
  for (const to of pasted) t.match((await send('order_ready', { to, language: 'en' })).json(), { contact: ANN, conversation_id: 1 }, `${to} is the same contact`)
  t.equal((await query("SELECT FROM users WHERE origin = 'whatsapp'")).length, 3)
  t.equal((await send('order_ready', { to: '+1 650 CALL', language: 'en' })).json().error,
    'to must be a user id such as US.13491208655302741918, or a phone number. A phone number has 3 to 15 digits, with an optional +. “C” does not belong there')

  for (const [name, body] of [
    ['Order', {}], ['order_ready', { to: 'Ann' }], ['order_ready', { to: '12' }], ['order_ready', { language: 'English' }], ['order_ready', { variables: [7] }],
    ['order_ready', { variables: { 'a b': 'x' } }], ['order_ready', { variables: { 'a\0': 'x' } }], ['order_ready', { variables: [''] }], ['order_ready', { text: '' }], ['order_ready', { to: undefined }]
  ] as const) t.equal((await send(name, { to: ANN, language: 'en', ...body })).statusCode, 400, JSON.stringify([name, body]))
})

t.test('a template is sent once per client id, can fail and be held like a reply, and can be deleted', async t => {
  const { meta, ledgerIs, query, admin, tryAgain, allDone, onlyProbeWaits, as } = await start(t, { bot: 'simulated' })
  const root = await admin()
  const body = { to: ANN, language: 'en', variables: ['Ann'] }
  const send = async (changes: object = {}, headers = {}, client = root) => await client.post('/api/admin/whatsapp/templates/reminder', { ...body, ...changes }, headers)
  const all = await Promise.all(Array.from({ length: 5 }, () => send({}, { 'idempotency-key': 'mine' })))
  t.same(all.map(({ statusCode }) => statusCode), [201, 201, 201, 201, 201])
  t.equal(new Set(all.map(answer => answer.json().id)).size, 1)
  await allDone()
  t.equal(meta.asked, 1)
  t.match((await send({ client_id: 'mine' })).json(), { id: all[0]!.json().id, state: 'sent' })
  t.match((await send({ client_id: 'mine', variables: ['Eve'] })).json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' })
  await admin('other')
  t.equal((await send({ client_id: 'mine' }, {}, await as('other'))).statusCode, 201, 'another admin can use the same id')
  await allDone()
  await query('DELETE FROM whatsapp_deliveries')

  meta.plan({ status: 400, error: { code: 132001, message: 'Template name does not exist in the translation' } }, { status: 401, error: { code: 190, message: 'Expired' } })
  await send()
  await ledgerIs([{ state: 'failed', error_code: 132001 }])
  await send()
  await ledgerIs([{}, { state: 'queued', error_code: 190 }])
  const { id } = (await send()).json()
  await onlyProbeWaits()
  t.match((await root.get('/api/admin/deliveries?limit=1')).json(), [{ id, state: 'queued', error_code: 190, held_since: /Z$/ }])
  await query("UPDATE messages SET text = '', status = 'deleted' WHERE (conversation_id, id) = (SELECT conversation_id, message_id FROM whatsapp_deliveries WHERE id = $1)", [id])
  await tryAgain()
  await allDone()
  await ledgerIs([{}, { state: 'sent' }, { state: 'failed', error: 'The message was deleted' }])
})

t.test('a template and a first message at the same moment create one conversation', async t => {
  const { deliver, allDone, query, admin } = await start(t, { bot: 'simulated' })
  const root = await admin()
  for (let n = 0; n < 10; n++) {
    const to = `4930${n}`
    await Promise.all([
      ...[1, 2, 3].map(() => root.post('/api/admin/whatsapp/templates/reminder', { to, language: 'en' })), deliver(from(to, 'hello'))
    ].map(async answer => t.match([200, 201].includes(Number((await answer as { statusCode?: number }).statusCode ?? await answer)), true)))
  }
  await allDone()
  t.same(await query('SELECT count(*)::int AS messages FROM messages GROUP BY conversation_id'), Array.from({ length: 10 }, () => ({ messages: 5 })))
  t.equal((await query("SELECT FROM users WHERE origin = 'whatsapp'")).length, 10)
  const nobody = await start(t, { bot: 'not there' })
  t.match((await (await nobody.admin()).post('/api/admin/whatsapp/templates/reminder', { to: ANN, language: 'en' })).json(), { statusCode: 404, code: 'BOT_NOT_FOUND' })
})

t.test('the typing indicator is sent again while a bot takes longer than Meta shows it', async t => {
  const { deliver, meta, bots, query, allDone } = await start(t, { bot: 'slow' })
  await query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  bots.takeOver()
  const one = text(ANN, 'one', { timestamp: secondsAgo(9) })
  const two = text(ANN, 'two', { timestamp: secondsAgo(8) })
  await deliver(webhook({ contacts: [contact(ANN)], messages: [one, two] }))
  const call = await bots.call(1)
  await until(() => meta.read.length === 1)
  t.same(meta.read[0], { messaging_product: 'whatsapp', status: 'read', message_id: two.id, typing_indicator: { type: 'text' } }, 'the newest message is marked as read, which includes all earlier ones')
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() + 21_000
  await until(() => meta.read.length === 2)
  Date.now = () => now() + 42_000
  await until(() => meta.read.length === 3)
  t.same(meta.read[2], meta.read[0])
  call.end()
  await allDone()
  t.equal(meta.read.length, 3)
})
