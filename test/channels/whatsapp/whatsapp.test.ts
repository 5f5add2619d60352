import t from 'tap'
import { addJob } from '../../../src/db/jobs.ts'
import { startApp, type Headers } from '../../support/helper.ts'
import { contact, from, secondsAgo, signed, status, text, VERIFY_TOKEN, webhook } from '../../support/meta.ts'
import { connect, freePort, isWaiting, until } from '../../support/process.ts'
import { readDescription } from '../../support/routes.ts'
import { ANN, BOB, start, USER_ID } from '../../support/whatsapp.ts'

// WhatsApp from the view of a contact, an admin and Meta.

t.jobs = 4 // for tests that are `buffered`

t.test('the guided chat on WhatsApp, word for word', { buffered: true }, async t => {
  const { deliver, meta, query, allDone } = await start(t)
  for (const [n, text] of ['Hi', 'hello', 'John', 'Bohemian Rhapsody', 'And now?'].entries()) {
    t.equal(await deliver(from(ANN, text), n % 2 === 0 ? '/chat/whatsapp' : '/api/chat/whatsapp'), 200)
    await meta.has(n + 1)
  }
  await allDone()
  t.same(meta.sent.map(({ text }) => text), [
    'Invalid initial input, please say hello.', 'What is your name?', 'Hello John, what is your favorite song?', 'Playing Bohemian Rhapsody',
    'Hello John! Your favorite song is Bohemian Rhapsody'
  ])
  const { body, headers, path } = meta.sent[1]!
  t.same(body, { messaging_product: 'whatsapp', to: ANN, type: 'text', text: { preview_url: true, body: 'What is your name?' } })
  t.equal(headers.authorization, 'Bearer EAAJtoken')
  t.equal(path, '/v25.0/106540352242922/messages')
  t.same(await query('SELECT name, phone_number, origin, is_guest, username FROM users'), [{ name: 'Sheena Nelson', phone_number: ANN, origin: 'whatsapp', is_guest: false, username: null }])
  t.match(await query('SELECT origin, is_finished FROM conversations'), [{ origin: 'whatsapp', is_finished: true }])
})

t.test('the webhook is verified, and the signature of every body is checked over its bytes', { buffered: true }, async t => {
  const { anyone, deliver, query } = await start(t, { works: false })
  const verify = async (query: Record<string, string>) => {
    const { statusCode, body, headers } = await anyone.get(`/chat/whatsapp?${new URLSearchParams(query)}`)
    return { statusCode, body, type: headers['content-type'] }
  }
  const right = { 'hub.mode': 'subscribe', 'hub.verify_token': VERIFY_TOKEN, 'hub.challenge': '1158201444' }
  t.same(await verify(right), { statusCode: 200, body: '1158201444', type: 'text/plain; charset=utf-8' })
  for (const wrong of [{ 'hub.mode': 'unsubscribe' }, { 'hub.verify_token': 'wrong' }, { 'hub.verify_token': '' }]) {
    const { statusCode, body } = await verify({ ...right, ...wrong })
    t.equal(statusCode, 400)
    t.match(JSON.parse(body), { code: 'WRONG_VERIFY_TOKEN', error: '400 Bad Request: Invalid token' })
  }

  const body = JSON.stringify(from(ANN, 'hello'))
  const post = async (payload: string, headers: Headers) => await anyone.post('/chat/whatsapp', payload, { 'content-type': 'application/json', ...headers })
  const refused = {
    missing: await anyone.post('/chat/whatsapp', body, { 'content-type': 'application/json' }),
    wrong: await post(body, { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` }),
    empty: await post(body, { 'x-hub-signature-256': '' }),
    'of another length': await post(body, { 'x-hub-signature-256': 'sha256=00' }),
    'of another algorithm': await post(body, { 'x-hub-signature-256': signed(body)['x-hub-signature-256']!.replace('sha256', 'sha1') }),
    'of another secret': await post(body, signed(body, 'another secret')),
    'over other bytes': await post(body.replace('hello', 'hullo'), signed(body)),
    'over the same JSON with other spacing': await post(JSON.stringify(JSON.parse(body), null, 2), signed(body)),
    'of no body': await anyone.post('/chat/whatsapp', undefined, { 'x-hub-signature-256': signed(body)['x-hub-signature-256']! })
  }
  for (const [how, { statusCode, body }] of Object.entries(refused)) {
    t.equal(statusCode, 401, how)
    t.match(JSON.parse(body), { code: 'INVALID_SIGNATURE', error: '401 Unauthorized: Invalid signature' }, how)
  }
  t.same(await query('SELECT FROM whatsapp_inbox'), [])
  t.same(await query('SELECT FROM graphile_worker.jobs'), [])

  const answer = await post(body, signed(body))
  t.same([answer.statusCode, answer.body, answer.headers['content-type']], [200, 'OK', 'text/plain; charset=utf-8'])
  t.equal((await post(body, { ...signed(body), 'content-type': 'text/plain' })).statusCode, 200, 'the content type does not matter')

  const most = JSON.stringify(from(ANN, 'x'.repeat(4 * 1024 * 1024 - Buffer.byteLength(JSON.stringify(from(ANN, ''))))))
  t.equal(Buffer.byteLength(most), 4 * 1024 * 1024)
  t.equal(await deliver(most), 200, 'a body of 4 MiB')
  t.equal(await deliver(`${most} `), 413, 'a body of 4 MiB and one byte')
  const tooLarge = await post(`${most} `, signed(`${most} `))
  t.match(JSON.parse(tooLarge.body), { code: 'BODY_TOO_LARGE', error: '413 Payload Too Large: The body is larger than 4 MiB' })
  const { paths } = await readDescription({ anyone })
  t.equal(paths['/chat/whatsapp'].post.responses['413'].description, 'BODY_TOO_LARGE: The body is larger than 4 MiB')

  const app = await startApp(t, { META_APP_SECRET: undefined, META_VERIFY_TOKEN: undefined })
  const { statusCode, body: nowhere } = await app.anyone.post('/chat/whatsapp', body, signed(body))
  t.match([statusCode, JSON.parse(nowhere)], [404, { code: 'NOT_FOUND', error: '404 Not Found: Not found' }], 'without META_APP_SECRET there is no webhook')
  t.equal((await app.anyone.get(`/chat/whatsapp?${new URLSearchParams(right)}`)).statusCode, 400)
})

t.test('the same webhook 20 times at once, its messages in every order: one reply each, in the order of the messages', { buffered: true }, async t => {
  const { deliver, meta, query, allDone, work } = await start(t, { works: false })
  const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
  const expected = ['What is your name?', 'Hello John, what is your favorite song?', 'Playing Yesterday']
  const statuses = await Promise.all(orders.flatMap((order, n) => {
    const phone = `4917000000${n}`
    const messages = ['hello', 'John', 'Yesterday'].map((body, nth) => text(phone, body, { timestamp: secondsAgo(10 - nth) }))
    const one = webhook({ contacts: [contact(phone)], messages: order.map(nth => messages[nth]!) })
    const three = order.map(nth => webhook({ contacts: [contact(phone)], messages: [messages[nth]!] }))
    return Array.from({ length: 20 }, (_, time) => time % 2 === 0 ? [one] : three).flat().map(deliverAsMeta)
  }))
  t.same([...new Set(statuses)], [200])
  await work()
  await meta.has(18)
  await allDone()
  t.equal(meta.asked, 18)
  for (const n of orders.keys()) t.same(meta.sent.filter(({ to }) => to === `4917000000${n}`).map(({ text }) => text), expected)
  t.same(await query("SELECT count(*)::int AS count FROM messages WHERE sender = 'user'"), [{ count: 18 }])
  await until(() => meta.read.length >= 18) // nothing waits for these requests
  t.equal(meta.read.length, 18)
  t.match(meta.read[0], { messaging_product: 'whatsapp', status: 'read', message_id: /^wamid\.in/, typing_indicator: { type: 'text' } })

  /** Sends a webhook again, as Meta does, when the server could not store it in time: on a slow machine, 240 of them are more than the database takes at once. */
  async function deliverAsMeta (body: object): Promise<number> {
    const status = await deliver(body)
    return status === 503 ? await deliverAsMeta(body) : status
  }
})

t.test('messages of the same second are answered in the order in which the webhook lists them, whatever their ids', { buffered: true }, async t => {
  const { deliver, meta, allDone } = await start(t)
  const inOneSecond = (...said: Array<[id: string, body: string]>) => said.map(([id, body]) => text(ANN, body, { id, timestamp: secondsAgo(5) }))
  const sentBefore = text(ANN, 'hello', { id: 'wamid.y', timestamp: secondsAgo(9) })
  await deliver(webhook({ contacts: [contact(ANN)], messages: [...inOneSecond(['wamid.z', 'John'], ['wamid.b', 'Yesterday'], ['wamid.a', 'And now?']), sentBefore] }))
  await allDone()
  t.same(meta.sent.map(({ text }) => text), ['What is your name?', 'Hello John, what is your favorite song?', 'Playing Yesterday', 'Hello John! Your favorite song is Yesterday'])
})

t.test('messages without text, and unknown types', { buffered: true }, async t => {
  const { deliver, meta, query, allDone, said } = await start(t, { bot: 'simulated' })
  const media = { mime_type: 'image/jpeg', sha256: 'SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI=', id: '1003383421387256' }
  const say = (type: string, content: object | undefined, more: object = {}) => text(ANN, '', { type, text: undefined, [type]: content, ...more })
  /** Messages as Meta documents them. @see https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/ */
  const messages = [
    say('text', { body: ' Hi \u0000 \ud800 there ' }),
    say('button', { payload: 'yes-1', text: 'Yes' }, { context: { from: '15550783881', id: 'wamid.gBGGFlA5FpafAgkOuJbRq54qwbM=' } }),
    say('interactive', { type: 'button_reply', button_reply: { id: 'change', title: 'Change' } }, { context: { from: '15550783881', id: 'wamid.gBGGFlA5FpafAgkOuJbRq54qwbM=' } }),
    say('interactive', { type: 'list_reply', list_reply: { id: 'priority', title: 'Priority Mail', description: '1–3 days' } }),
    say('image', { ...media, caption: 'My cat' }),
    say('audio', { ...media, voice: true }),
    say('sticker', { ...media, animated: false }),
    say('document', { ...media, filename: 'taxes.pdf' }),
    say('video', media),
    say('location', { latitude: 37.4847, longitude: -122.1477, name: 'Meta' }),
    say('contacts', [{ name: { formatted_name: 'Barbara J. Johnson' } }] as object),
    say('reaction', { message_id: 'wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQ1QUQ2QzIzMTFCMDI2ODdBRjQwRgA=', emoji: '👍' }),
    say('reaction', { message_id: 'wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQ1QUQ2QzIzMTFCMDI2ODdBRjQwRgA=' }), // a reaction that was removed
    say('unsupported', { type: 'poll_update' }, {
      errors: [{ code: 131051, title: 'Message type unknown', message: 'Message type unknown', error_data: { details: 'Message type is currently not supported.' } }]
    }),
    say('interactive', { type: 'nfm_reply', nfm_reply: { name: 'flow', response_json: '{}' } }),
    say('order', { catalog_id: '1', product_items: [] }),
    say('text', { body: ' \u0000 ' }),
    say('text', undefined, { timestamp: undefined }),
    say('kind of tomorrow', {})
  ]
  t.equal(await deliver(webhook({ contacts: [contact(ANN, '')], messages })), 200)
  await allDone()
  const sorry = 'bot: Sorry, I can only read text messages. Please write it to me.'
  t.same(await said(), [
    'user: Hi  \ufffd there', 'bot: You said: Hi  \ufffd there', 'user: Yes', 'bot: You said: Yes', 'user: Change', 'bot: You said: Change',
    'user: Priority Mail', 'bot: You said: Priority Mail',
    ...['[image] My cat', '[voice message]', '[sticker]', '[document]', '[video]', '[location]', '[contact]', '[unsupported message]', '[form]', '[order]', '[kind of tomorrow]'].flatMap(text => [`user: ${text}`, sorry])
  ])
  t.same(meta.sent.map(({ text }) => `bot: ${text}`), (await said()).filter((_, n) => n % 2 === 1))
  t.same(await query('SELECT name FROM users'), [{ name: null }])
  t.equal((await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NOT NULL AND problem IS NULL')).length, messages.length)

  await t.test('an invalid part of a webhook is stored with the reason, and does not affect the other parts', async t => {
    const good = text(ANN, 'Still there?')
    const bad = {
      object: 'whatsapp_business_account',
      entry: [
        ...webhook({ contacts: [contact(ANN)], messages: [{ ...good, id: undefined }, text(BOB, 'Hi', { from: undefined, from_user_id: {} }), { ...good, id: 'with a space' }, good, 7 as unknown as object] }).entry,
        ...webhook({ statuses: [status('wamid.0001=', ANN, ''), { ...status('wamid.0001=', ANN, 'sent'), status: undefined }, { id: 'wamid.none' }, status('wamid.0001=', ANN, 'deleted'), status('wamid.0001=', ANN, 'read')] }).entry,
        ...webhook({ errors: [{ code: 130429, title: 'Rate limit hit' }] }).entry,
        { id: '0', changes: [{ field: 'account_update', value: { event: 'VERIFIED_ACCOUNT' } }, null] },
        null,
        { changes: 'none' }
      ]
    }
    const raws = [JSON.stringify(bad), 'no JSON', '[]', '{}', '"text"', '{"entry":[]}']
    for (const raw of [...raws, ...raws]) t.equal(await deliver(raw), 200)
    await allDone()
    t.same((await said()).slice(-2), ['user: Still there?', 'bot: You said: Still there?'])
    t.same(await query('SELECT name FROM users'), [{ name: 'Sheena Nelson' }], 'the name in the profile is stored')
    const kept = await query('SELECT kind, problem, contact, handled_at IS NOT NULL AS handled FROM whatsapp_inbox WHERE problem IS NOT NULL')
    t.same(kept.map(({ problem }) => problem.slice(0, 30)).sort(), [
      'cannot be read: Unexpected tok', 'holds no messages and no statu', 'holds no messages and no statu', 'holds no messages and no statu', 'holds no messages and no statu',
      'is a message of nobody', 'is a message without an id', 'is a message without an id', 'is a message without an id', 'is a status of no kind', 'is a status of no kind', 'is a status of nobody',
      'is neither a message nor a sta', 'is neither a message nor a sta', 'is neither a message nor a sta'
    ].sort())
    t.ok(kept.every(({ kind, contact, handled }) => kind === 'unknown' && contact === null && handled))
    const [{ state }] = await query("SELECT state FROM whatsapp_deliveries WHERE whatsapp_id = 'wamid.0001='")
    t.equal(state, 'read')
    const bodies = (await query('SELECT body FROM whatsapp_inbox')).map(({ body }) => String(body))
    for (const raw of raws.slice(1)) t.ok(bodies.includes(raw), 'the body is stored byte for byte')
  })
})

t.test('messages to another number of the same app are stored and not answered', { buffered: true }, async t => {
  const { deliver, meta, query, allDone, said } = await start(t, { bot: 'simulated' })
  const to = (phone_number_id: unknown, body: object) => JSON.parse(JSON.stringify(body).replaceAll(`"${meta.settings.META_PHONE_NUMBER_ID}"`, JSON.stringify(phone_number_id))) as { entry: object[] }
  const others = to('27681414235104944', webhook({ contacts: [contact(ANN)], messages: [text(ANN, 'Not to you')], statuses: [status('wamid.0001=', ANN, 'read')] }))
  const ours = from(ANN, 'To you')
  for (let time = 0; time < 2; time++) t.equal(await deliver({ ...ours, entry: [...others.entry, ...ours.entry, ...to(7, from(ANN, 'Nor this')).entry.slice(time)] }), 200)
  await allDone()
  t.same(await said(), ['user: To you', 'bot: You said: To you'])
  t.equal(meta.asked, 1)
  t.match(await query('SELECT kind, contact, problem FROM whatsapp_inbox WHERE problem IS NOT NULL ORDER BY problem, id'), [
    { kind: 'unknown', contact: null, problem: 'is a message of another phone number' }, { problem: 'is a message of another phone number' }, { problem: 'is a status of another phone number' }
  ])
  t.match(await query('SELECT state FROM whatsapp_deliveries'), [{ state: 'sent' }], 'statuses of that number’s messages do not change our deliveries')
})

t.test('the inbox and the ledger are deleted after a month', { buffered: true }, async t => {
  const { deliver, meta, query, allDone, ledgerIs, db, said } = await start(t, { bot: 'simulated' })
  const age = (days: number) => query(`
    UPDATE whatsapp_inbox SET received_at = received_at - make_interval(days => ${days}), handled_at = handled_at - make_interval(days => ${days});
    UPDATE whatsapp_deliveries SET created_at = created_at - make_interval(days => ${days}), updated_at = updated_at - make_interval(days => ${days})`)
  const tidy = async () => {
    await addJob(db, 'tidy', {}, { key: 'tidy' })
    await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE key = 'tidy' AND run_at > now() + interval '23 hours'")).length === 1)
    await query("SELECT graphile_worker.remove_job('tidy')")
    return [(await query('SELECT FROM whatsapp_inbox')).length, (await query('SELECT FROM whatsapp_deliveries')).length]
  }
  const hello = from(ANN, 'one')
  await deliver(hello)
  await deliver('no JSON')
  await ledgerIs([{ state: 'sent' }])
  await allDone()
  meta.plan({ status: 503, headers: { 'retry-after': '1000' } })
  await deliver(from(BOB, 'two'))
  await ledgerIs([{ state: 'sent' }, { state: 'queued', attempts: 1 }])
  await query(`INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, body, sent_at) VALUES ('wamid.waits', 'message', 'nobody works', '{}', now());
    INSERT INTO whatsapp_inbox (whatsapp_id, kind, body, sent_at, handled_at) SELECT 'many ' || n, 'unknown', '', now(), now() FROM generate_series(1, 10000) n`)
  await age(29)
  t.same(await tidy(), [10_004, 2])
  await age(2)
  t.same(await tidy(), [1, 1], 'queued deliveries are never deleted')
  t.match(await query('SELECT whatsapp_id FROM whatsapp_inbox'), [{ whatsapp_id: 'wamid.waits' }])
  t.match(await query('SELECT state FROM whatsapp_deliveries'), [{ state: 'queued' }])
  t.same((await said(ANN)), ['user: one', 'bot: You said: one'], 'the conversation stays')
})

t.test('how a contact is identified', { buffered: true }, async t => {
  const { deliver, meta, query, allDone, anyone } = await start(t)
  const by = (who: { wa_id?: string, user_id?: string }, body: string, name = 'Ann') => {
    const message = text(who.wa_id!, body, { from_user_id: who.user_id })
    return webhook({ contacts: [{ profile: { name }, ...who }], messages: [message] })
  }
  const say = async (...of: Parameters<typeof by>) => {
    await deliver(by(...of))
    await allDone()
    const { body } = meta.sent.at(-1)!
    return { to: body['to'], recipient: body['recipient'], text: meta.sent.at(-1)!.text }
  }

  await anyone.post('/chat', { user_phone: ANN, user_message: 'hello' })
  t.match(await say({ wa_id: ANN }, 'hello'), { to: ANN, text: 'What is your name?' }, 'a number that was typed at /chat does not lead to the contact on WhatsApp')
  t.match(await say({ wa_id: ANN, user_id: USER_ID }, 'Ann'), { to: ANN, text: 'Hello Ann, what is your favorite song?' }, 'the user id is added to the contact with this number')
  t.same(await say({ user_id: USER_ID }, 'Yesterday'), { to: ANN, recipient: undefined, text: 'Playing Yesterday' }, 'without the number it is the same contact')
  t.match(await say({ wa_id: BOB, user_id: USER_ID }, 'And now?', 'Ann\n\u202e\u2066B.'), { to: BOB, text: 'Hello Ann! Your favorite song is Yesterday' }, 'with another number it is the same contact, too')
  t.match(await say({ wa_id: ANN, user_id: 'DE.1' }, 'hello'), { to: ANN, text: 'What is your name?' }, 'a new owner of her number is a different contact')
  t.same(await say({ user_id: 'DE.2' }, 'hello'), { to: undefined, recipient: 'DE.2', text: 'What is your name?' }, 'a contact who hides the number is answered by user id')
  t.same(await query("SELECT u.name, u.origin, u.phone_number FROM users u JOIN identities i ON i.user_id = u.id WHERE i.channel = 'whatsapp' ORDER BY i.address"), [
    { name: 'Ann B.', origin: 'whatsapp', phone_number: ANN }, { name: 'Ann', origin: 'whatsapp', phone_number: ANN },
    { name: 'Ann', origin: 'whatsapp', phone_number: null }, { name: 'Ann B.', origin: 'whatsapp', phone_number: ANN }
  ], 'a name has no line breaks and no marks that reorder the text after it')
  t.match((await anyone.post('/chat', { user_phone: ANN, user_message: 'Eve' })).json(), { bot_message: 'Hello Eve, what is your favorite song?' })
})

t.test('a contact who writes while their user is being deleted is a new user, and is answered', { buffered: true }, async t => {
  const { deliver, meta, query, allDone, admin, connection, said } = await start(t, { bot: 'simulated' })
  const root = await admin()
  for (const [contact, message, former] of [[ANN, { from: ANN }, []], [USER_ID, { from: undefined, from_user_id: USER_ID }, []], [ANN, { from: ANN }, [BOB]]] as const) {
    for (const phone of former) await query('INSERT INTO whatsapp_contacts (contact, phone) VALUES ($1, $2)', [ANN, phone]) // the former owner of the number
    await deliver(webhook({ messages: [text(ANN, 'one', message)] }))
    await allDone()
    const [{ id }] = await query("SELECT user_id::int AS id FROM identities WHERE channel = 'whatsapp'") as unknown as [{ id: number }]
    const two = text(ANN, 'two', message)
    const other = await connect(t, connection)
    // The webhook has found the contact, and waits until the other transaction ends, which stores the same message.
    await other.query("BEGIN; INSERT INTO whatsapp_inbox (whatsapp_id, kind, body, sent_at) VALUES ('" + two.id + "', 'unknown', '', now())")
    const delivered = deliver(webhook({ messages: [two] }))
    await isWaiting(other)
    t.equal((await root.delete(`/api/admin/users/${id}`)).statusCode, 204)
    await other.query('ROLLBACK')
    t.equal(await delivered, 200)
    await allDone()
    t.match(meta.sent.at(-1), { text: 'You said: two', body: contact === ANN ? { to: ANN } : { recipient: USER_ID } })
    t.same(await said(contact), ['user: two', 'bot: You said: two'])
    await query("DELETE FROM users WHERE origin = 'whatsapp'; DELETE FROM whatsapp_contacts")
  }
})

t.test('after 12 hours without messages, a message starts a new conversation', { buffered: true }, async t => {
  const { deliver, meta, query, allDone } = await start(t)
  const say = async (body: string) => {
    await deliver(from(ANN, body))
    await allDone()
    return meta.sent.at(-1)!.text
  }
  const pass = async (time: string) => { await query('UPDATE conversations SET last_updated = last_updated - $1::interval', [time]) }
  await say('hello')
  await pass('11 hours 59 minutes')
  t.equal(await say('John'), 'Hello John, what is your favorite song?')
  await pass('12 hours')
  t.equal(await say('Yesterday'), 'Invalid initial input, please say hello.')
  t.equal(await say('hello'), 'What is your name?')
  t.same(await query('SELECT id::int, is_finished, last_rev::int FROM conversations ORDER BY id'), [{ id: 1, is_finished: true, last_rev: 4 }, { id: 2, is_finished: false, last_rev: 4 }])
  await say('John')
  await say('Yesterday')
  t.equal(await say('And now?'), 'Hello John! Your favorite song is Yesterday')
  await deliver(webhook({ messages: [text(ANN, '', { type: 'image', image: {} })] }))
  await allDone()
  t.equal(await say('And now?'), 'Hello John! Your favorite song is Yesterday', 'an image does not change the state of the script')
  await pass('12 hours')
  t.equal(await say('And now?'), 'Invalid initial input, please say hello.', 'also after a finished conversation')
  t.equal((await query('SELECT FROM conversations')).length, 3)
})

t.test('contacts do not wait for each other', { buffered: true }, async t => {
  const { deliver, meta, allDone } = await start(t)
  let release = () => {}
  meta.plan({ hold: new Promise(resolve => { release = resolve }) })
  await deliver(from(ANN, 'hello'))
  await until(() => meta.asked === 1)
  await deliver(from(BOB, 'hello'))
  await deliver(from(ANN, 'Ann'))
  await meta.has(1)
  t.same(meta.sent.map(({ to }) => to), [BOB])
  release()
  await allDone()
  t.same(meta.sent.map(({ to, text }) => [to, text]), [[BOB, 'What is your name?'], [ANN, 'What is your name?'], [ANN, 'Hello Ann, what is your favorite song?']])
})

t.test('Meta says with a date when to try again', async t => {
  const { deliver, meta, ledgerIs, query } = await start(t, { bot: 'simulated' })
  meta.plan({ status: 503, headers: { 'retry-after': new Date(Date.now() + 100_000).toUTCString() } })
  await deliver(from(ANN, 'hello'))
  await ledgerIs([{ state: 'queued', error: 'HTTP 503' }])
  t.match(await query('SELECT extract(epoch FROM try_at - queued_at) BETWEEN 30 AND 101 AS waits FROM whatsapp_deliveries'), [{ waits: true }])
})

t.test('Meta refuses or delays a message, or cuts the connection', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, hurry, holdRetries, pauseOfRetry, query, allDone } = await start(t, { bot: 'simulated' })

  meta.plan({ status: 400, error: { code: 131026, message: 'Message undeliverable', type: 'OAuthException' } })
  await deliver(from(ANN, 'refused', 'next'))
  await ledgerIs([{ state: 'failed', error_code: 131026, error: 'Message undeliverable', attempts: 1, whatsapp_id: null }, { state: 'sent', attempts: 1 }])
  await allDone()
  t.same(meta.sent.map(({ text }) => text), ['You said: next'], 'a message with a permanent error is not retried, and does not block later ones')

  await query('TRUNCATE whatsapp_deliveries')
  await holdRetries()
  meta.plan({ status: 400, error: { code: 131056, message: '(#131056) Pair rate limit hit' } }, { status: 429 }, { status: 500, error: { code: 131000, message: 'Something went wrong' } }, { status: 503 }, { cut: 'before' })
  await deliver(from(ANN, 'one', 'two'))
  await ledgerIs([{ state: 'queued', error_code: 131056, attempts: 1 }, { state: 'queued', attempts: 0 }])
  t.equal(await pauseOfRetry(), 1, 'the queue retries after one second')
  await hurry()
  await ledgerIs([{ state: 'queued', error: 'HTTP 429', attempts: 2 }, { state: 'queued', attempts: 0 }])
  const [{ pause }] = await query('SELECT extract(epoch FROM try_at - updated_at)::int AS pause FROM whatsapp_deliveries ORDER BY id')
  t.same([pause, await pauseOfRetry()], [4, 4], 'and then after four')
  await hurry()
  await ledgerIs([{ state: 'queued', error_code: 131000, attempts: 3 }, { state: 'queued', attempts: 0 }])
  await hurry()
  await ledgerIs([{ state: 'queued', error: 'HTTP 503', attempts: 4 }, { state: 'queued', attempts: 0 }])
  await hurry()
  await ledgerIs([{ state: 'queued', error: 'other side closed', attempts: 5 }, { state: 'queued', attempts: 0 }])
  await deliver(from(ANN, 'three'))
  await ledgerIs([{ attempts: 5 }, { attempts: 0 }, { attempts: 0 }])
  await until(async () => (await query('SELECT FROM graphile_worker.jobs')).length === 1)
  t.equal(meta.asked, 7, 'new messages do not cause an earlier retry')
  await hurry()
  await ledgerIs([{ state: 'sent', attempts: 6, error: null, error_code: null }, { state: 'sent' }, { state: 'sent' }])
  t.same(meta.sent.slice(1).map(({ text }) => text), ['You said: one', 'You said: two', 'You said: three'], 'messages are sent in order')

  await query('TRUNCATE whatsapp_deliveries')
  meta.plan({ twice: true }, { twice: true })
  await deliver(from(ANN, 'four', 'five', 'six'))
  await ledgerIs([{ state: 'sent', attempts: 1, whatsapp_id: 'wamid.0005=' }, { state: 'sent', attempts: 1, whatsapp_id: 'wamid.0006=' }, { state: 'sent', attempts: 1, whatsapp_id: 'wamid.0007=' }])
  t.same(meta.sent.slice(4).map(({ text }) => text), ['You said: four', 'You said: five', 'You said: six'], 'a duplicate response of Meta is not taken for the response to the next message')

  await query('TRUNCATE whatsapp_deliveries')
  meta.plan({ status: 400, error: { code: 130429, message: 'Rate limit hit' }, headers: { 'retry-after': '100' } })
  await deliver(from(ANN, 'many'))
  await ledgerIs([{ state: 'queued', error_code: 130429 }])
  t.match(await query('SELECT extract(epoch FROM try_at - updated_at)::int AS pause FROM whatsapp_deliveries'), [{ pause: 100 }], 'the retry waits as long as Meta’s Retry-After says')
  await query("UPDATE whatsapp_deliveries SET queued_at = queued_at - interval '24 hours'")
  await hurry()
  await ledgerIs([{ state: 'failed', error_code: 130429, attempts: 1 }])
  t.equal(meta.asked, 14, 'a message is retried for a day')
})

t.test('when Meta’s response is lost, statuses show whether the message was sent', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, hurry, allDone, query } = await start(t, { bot: 'simulated' })
  meta.plan({ cut: 'after' })
  await deliver(from(ANN, 'one', 'two'))
  await ledgerIs([{ state: 'queued', attempts: 1, error: 'other side closed' }, { state: 'queued', attempts: 0 }])
  t.match(await query('SELECT extract(epoch FROM try_at - doubted_at)::int AS pause FROM whatsapp_deliveries ORDER BY id LIMIT 1'), [{ pause: 20 }])
  await deliver(webhook({ contacts: [contact(ANN)], statuses: [status('wamid.0001=', ANN, 'delivered'), status('wamid.0001=', ANN, 'sent')] }))
  await until(async () => (await query("SELECT FROM whatsapp_inbox WHERE kind = 'status' AND handled_at IS NOT NULL")).length === 2)
  await hurry()
  await ledgerIs([{ state: 'delivered', attempts: 1, whatsapp_id: 'wamid.0001=', error: null }, { state: 'sent', whatsapp_id: 'wamid.0002=' }])
  t.equal(meta.asked, 2, 'the message was not sent again')

  // The state that a server leaves if it dies.
  meta.plan({ status: 202 })
  await deliver(from(ANN, 'nothing'))
  await ledgerIs([{}, {}, { state: 'queued', attempts: 1, error: 'HTTP 202 without a message' }])
  await query("UPDATE whatsapp_deliveries SET doubted_at = NULL WHERE state = 'queued'")
  await hurry()
  await until(async () => (await query('SELECT FROM whatsapp_deliveries WHERE doubted_at IS NOT NULL')).length === 1)
  t.equal(meta.asked, 3, 'the status gets time to arrive in this case, too')
  await hurry()
  await ledgerIs([{}, {}, { state: 'sent', attempts: 2 }])
  await query('DELETE FROM whatsapp_deliveries WHERE id = (SELECT max(id) FROM whatsapp_deliveries)')

  meta.plan({ cut: 'after' }, { cut: 'after' }, { status: 200 })
  await deliver(from(ANN, 'three'))
  for (const attempts of [1, 2]) {
    await ledgerIs([{}, {}, { state: 'queued', attempts, error: 'other side closed' }])
    await hurry()
  }
  await ledgerIs([{}, {}, { state: 'sent', attempts: 3, whatsapp_id: 'wamid.0006=' }])
  await allDone()
  t.equal(meta.sent.filter(({ text }) => text === 'You said: three').length, 3, 'without a status it is sent again: a duplicate is better than a lost message')
})

t.test('a late status of an older message does not show that a message without a response was sent', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, hurry, allDone, query } = await start(t, { bot: 'simulated' })
  const tell = (id: string, is: string, timestamp = secondsAgo()) => deliver(webhook({ contacts: [contact(ANN)], statuses: [status(id, ANN, is, { timestamp })] }))
  await tell('wamid.another-program', 'sent', secondsAgo(3600))
  meta.plan({ cut: 'after' })
  await deliver(from(ANN, 'one'))
  await ledgerIs([{ state: 'queued', attempts: 1 }])
  await hurry()
  await ledgerIs([{ state: 'sent', attempts: 2, whatsapp_id: 'wamid.0002=' }])
  await tell('wamid.0001=', 'delivered', secondsAgo(1800)) // of the attempt without a response, after it was sent again

  meta.plan({ cut: 'before' })
  await deliver(from(ANN, 'two'))
  await ledgerIs([{}, { state: 'queued', attempts: 1 }])
  await tell('wamid.another-program', 'read')
  await tell('wamid.0001=', 'read')
  await until(async () => (await query("SELECT FROM whatsapp_inbox WHERE kind = 'status' AND handled_at IS NULL")).length === 0)
  await hurry()
  await allDone()
  t.same(meta.sent.map(({ text }) => text), ['You said: one', 'You said: one', 'You said: two'], 'the message that Meta did not get is sent again')
  await ledgerIs([{ state: 'sent' }, { state: 'sent', attempts: 2, whatsapp_id: 'wamid.0003=' }])
})

t.test('statuses move a reply forward only, in any order of arrival', { buffered: true }, async t => {
  const { deliver, ledgerIs, allDone, query } = await start(t, {
    bot: 'simulated',
    // The status arrives as early as possible, before Meta's response.
    onSent: async ({ id, to }) => { await deliver(webhook({ statuses: [status(id, to, 'delivered')] })) }
  })
  const tell = async (is: string, more?: object) => {
    await deliver(webhook({ contacts: [{ ...contact(ANN), user_id: USER_ID }], statuses: [status('wamid.0001=', ANN, is, more)] }))
    await allDone()
    return (await query('SELECT state, error_code FROM whatsapp_deliveries'))[0]
  }
  await deliver(from(ANN, 'Hi'))
  await ledgerIs([{ state: 'delivered', whatsapp_id: 'wamid.0001=' }])
  await allDone()
  t.match(await tell('sent'), { state: 'delivered' })
  const undeliverable = { code: 131026, title: 'Message undeliverable', message: 'Message undeliverable', error_data: { details: 'Message Undeliverable.' }, href: 'https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/' }
  t.match(await tell('failed', { errors: [undeliverable] }), { state: 'delivered', error_code: null })
  t.match(await tell('read'), { state: 'read' })
  t.match(await tell('delivered', {
    conversation: { id: 'bf53b1a1a0f5c2a8', origin: { type: 'service' } }, pricing: { billable: false, pricing_model: 'PMP', type: 'free_customer_service', category: 'service' }
  }), { state: 'read' }, 'a repeated status changes nothing')
  t.match(await tell('played'), { state: 'read' })

  await query("UPDATE whatsapp_deliveries SET state = 'sent'; DELETE FROM whatsapp_inbox WHERE kind = 'status'")
  t.match(await tell('failed', { errors: [{ code: 131049, title: 'Not delivered to maintain healthy engagement' }] }), { state: 'failed', error_code: 131049 })
  t.match(await tell('delivered'), { state: 'delivered' }, 'a status of delivery replaces the failure')
  await query("UPDATE whatsapp_deliveries SET state = 'sent'; DELETE FROM whatsapp_inbox WHERE kind = 'status'")
  t.match(await tell('failed', { errors: [{ code: 131047, title: 'Re-engagement message' }] }), { state: 'window_closed', error_code: 131047 })
  await query("UPDATE whatsapp_deliveries SET state = 'queued'; DELETE FROM whatsapp_inbox WHERE kind = 'status'")
  t.match(await tell('failed', { errors: [{ code: 'x', title: 7 }] }), { state: 'failed', error_code: null })
})

t.test('long replies are sent in parts, in order', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, allDone } = await start(t, { bot: 'simulated' })
  const words = `${'word '.repeat(900)}${'x'.repeat(2000)}${'👍'.repeat(500)}`
  await deliver(from(ANN, words))
  await ledgerIs([{ state: 'sent', part: 0 }, { state: 'sent', part: 1 }])
  const [first, second] = meta.sent.map(({ text }) => text)
  t.equal(`${first}${second}`, `You said: ${words}`)
  t.ok(first!.length <= 4096 && first!.endsWith('word '), 'the parts end between words')

  await deliver(from(ANN, `${'x'.repeat(4085)}${'👍'.repeat(500)}`))
  await meta.has(4)
  await allDone()
  t.equal(meta.sent[2]!.text.length, 4095, 'no character is split')
  t.equal(meta.sent[2]!.text.length + meta.sent[3]!.text.length, 10 + 4085 + 1000)

  await deliver(from(ANN, 'x'.repeat(5000)))
  await meta.has(6)
  await allDone()
  t.same(meta.sent.slice(4).map(({ text }) => text.length), [4096, 914])
})

t.test('nothing is sent to a contact who has not written for 24 hours', { buffered: true }, async t => {
  const { deliver, meta, ledgerIs, allDone } = await start(t, { bot: 'simulated' })
  const old = (seconds: number) => webhook({ messages: [text(ANN, `${seconds}`, { timestamp: secondsAgo(seconds) })] })
  await deliver(old(24 * 60 * 60 + 1))
  await ledgerIs([{ state: 'window_closed', attempts: 0 }])
  meta.plan({ status: 400, error: { code: 131047, message: 'Re-engagement message' } })
  await deliver(old(24 * 60 * 60 - 100))
  await ledgerIs([{ state: 'window_closed', attempts: 0 }, { state: 'window_closed', attempts: 1, error_code: 131047 }])
  await allDone()
  t.equal(meta.asked, 1)
})

t.test('admins can list deliveries, and retry failed ones', { buffered: true }, async t => {
  const { as, deliver, meta, ledgerIs, allDone, query } = await start(t, { bot: 'simulated' })
  const ann = await as('ann')
  t.equal((await ann.get('/api/admin/deliveries')).statusCode, 403)
  await query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
  meta.plan({}, { status: 400, error: { code: 131026, message: 'Message undeliverable' } })
  await deliver(from(ANN, 'one', 'two'))
  await ledgerIs([{ state: 'sent' }, { state: 'failed' }])
  await deliver(from(BOB, 'three'))
  await ledgerIs([{}, {}, { state: 'sent' }])
  await allDone()

  const list = async (query = '') => (await ann.get(`/api/admin/deliveries${query}`)).json() as Array<Record<string, unknown>>
  const all = await list()
  t.match(all, [
    { id: 3, contact: BOB, state: 'sent', part: 0, attempts: 1, error_code: null, error: null, whatsapp_id: 'wamid.0002=', created_at: /^\d{4}-.*\.\d{3}Z$/ },
    { id: 2, contact: ANN, state: 'failed', error_code: 131026, error: 'Message undeliverable', held_since: null, whatsapp_id: null, conversation_id: 1, message_id: 4 },
    { id: 1, contact: ANN, state: 'sent' }
  ])
  t.same((await list('?state=failed')).map(({ id }) => id), [2])
  t.same((await list(`?contact=${ANN}`)).map(({ id }) => id), [2, 1])
  t.same((await list(`?since=${String(all[0]!['created_at'])}`)).map(({ id }) => id), [3])
  const page = await ann.get('/api/admin/deliveries?limit=1&state=sent')
  t.match(page.headers['link'], '</api/admin/deliveries?limit=1&state=sent&before=3>; rel="next"')
  t.same((await list('?limit=1&state=sent&before=3')).map(({ id }) => id), [1])

  const retry = async (id: number) => (await ann.post(`/api/admin/deliveries/${id}/retry`)).json()
  const bob = await as('bob')
  t.match((await bob.post('/api/admin/deliveries/2/retry')).json(), { statusCode: 403, code: 'NOT_AN_ADMIN' })
  t.match(await retry(1), { statusCode: 409, code: 'NOT_TO_RETRY' })
  t.match(await retry(99), { statusCode: 404, code: 'DELIVERY_NOT_FOUND' })
  const [first, second] = (await Promise.all([retry(2), retry(2)])).sort((a, b) => Number('code' in a) - Number('code' in b))
  t.match(first, { id: 2, state: 'queued', attempts: 0, error: null })
  t.match(second, { statusCode: 409, code: 'NOT_TO_RETRY' }, 'two concurrent retries send it once')
  await ledgerIs([{}, { state: 'sent', attempts: 1, whatsapp_id: 'wamid.0003=' }, {}])
  t.equal(meta.sent.at(-1)!.text, 'You said: two')

  await query("UPDATE whatsapp_deliveries SET state = 'failed' WHERE id = 2; UPDATE messages SET text = '', status = 'deleted' WHERE conversation_id = 1 AND id = 4")
  await retry(2)
  await ledgerIs([{}, { state: 'failed', error: 'The message was deleted' }, {}])
})

t.test('replies wait while no token is set and while no worker runs', { buffered: true }, async t => {
  const { deliver, ledgerIs, meta, app } = await start(t, { bot: 'simulated', changes: { META_ACCESS_TOKEN: undefined } })
  t.ok(app)
  await deliver(from(ANN, 'Hi'))
  await ledgerIs([{ state: 'queued', attempts: 1, error: 'META_PHONE_NUMBER_ID or META_ACCESS_TOKEN is not set' }])
  t.equal(meta.asked, 0)

  const port = await freePort() // on which nobody listens
  const closed = await start(t, { bot: 'simulated', changes: { META_API_URL: `http://127.0.0.1:${port}/`, WHATSAPP_BOT: undefined, GUEST_BOT: 'favorite-song' } })
  await closed.holdRetries()
  await closed.deliver(from(ANN, 'Hi'))
  await closed.ledgerIs([{ state: 'queued', attempts: 1, error: `connect ECONNREFUSED 127.0.0.1:${port}` }])
  t.same(await closed.said(), ['user: Hi', 'bot: Invalid initial input, please say hello.'], 'the bot that answers guests is used')
  t.match(await closed.query('SELECT attempted_at, extract(epoch FROM try_at - updated_at)::int AS pause FROM whatsapp_deliveries'), [{ attempted_at: null, pause: 1 }], 'a message that was never sent is not in doubt')
})

t.test('a streaming bot answers messages that arrive together once', { buffered: true }, async t => {
  const { deliver, meta, query, bots, hurry, allDone, said } = await start(t, { bot: 'slow' })
  await query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  bots.takeOver()
  await Promise.all([0, 1, 2].map(n => deliver(webhook({ messages: [text(ANN, `${n}`, { timestamp: secondsAgo(10 - n) })] }))))
  const first = await bots.call(1)
  t.same(first.turns.map(({ text }) => text), ['0\n1\n2'])

  await deliver(webhook({ messages: [text(ANN, '', { type: 'image', image: { caption: 'Look' } }), text(ANN, '3'), text(ANN, '', { type: 'reaction' })] }))
  first.say('First')
  await hurry()
  t.equal(meta.sent.length, 0)
  first.say(' answer')
  first.end()
  const second = await bots.call(2)
  t.same(second.turns.map(({ text }) => text), ['0\n1\n2', 'First answer', '[image] Look\n3'], 'messages that arrive during a reply wait')
  second.say('Not to the e')
  await query("UPDATE messages SET status = 'interrupted', lease_owner = NULL WHERE status = 'streaming'")
  const again = await bots.call(3)
  t.same(again.turns, second.turns, 'after the writer has died, the bot is called again')
  again.say('Second answer')
  again.end()
  await meta.has(2)

  await deliver(from(ANN, '4'))
  const third = await bots.call(4)
  third.fail(new Error('out of money'))
  await allDone()
  t.same(meta.sent.map(({ text }) => text), ['First answer', 'Second answer', 'Sorry, I cannot answer right now. Please try again later.'])
  t.same((await said()).filter(line => line.startsWith('user')), ['user: 0\n1\n2', 'user: [image] Look\n3', 'user: 4'])
  await until(() => meta.read.length >= 3) // nothing waits for these requests
  t.equal(meta.read.length, 3, 'the typing indicator is not sent for every message')
  t.equal((await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL')).length, 0)
})

t.test('a streaming bot gets all of several long messages: those that do not fit into one message come next', { buffered: true }, async t => {
  const { deliver, meta, query, bots, allDone, said } = await start(t, { bot: 'slow' })
  await query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  bots.takeOver()
  const exact = ['😀'.repeat(4_000), 'b'.repeat(3_999)]
  const long = ['c'.repeat(4_000), 'd'.repeat(4_000)]
  await deliver(webhook({ messages: [...exact, ...long, 'e'].map((body, n) => text(ANN, body, { timestamp: secondsAgo(10 - n) })) }))
  const expected = [exact.join('\n'), long[0]!, `${long[1]}\ne`]
  for (const [n, turn] of expected.entries()) {
    const call = await bots.call(n + 1)
    t.equal(call.turns.at(-1)!.text, turn)
    call.say(`${n}`)
    call.end()
  }
  await allDone()
  t.same(meta.sent.map(({ text }) => text), ['0', '1', '2'])
  t.same((await said()).filter(line => line.startsWith('user')), expected.map(turn => `user: ${turn}`))
})

t.test('messages that were joined stay joined, also if a different bot answers them later', { buffered: true }, async t => {
  const first = await start(t, { bot: 'slow' })
  await first.query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  first.bots.takeOver()
  await first.deliver(from(ANN, 'one', 'two'))
  const call = await first.bots.call(1)
  call.say('Hm')
  await first.query("UPDATE chatbots SET engine = 'simulated'")
  await first.deliver(from(ANN, 'three'))
  call.end()
  await first.meta.has(2)
  await first.allDone()
  t.same(first.meta.sent.map(({ text }) => text), ['Hm', 'You said: three'])
})
