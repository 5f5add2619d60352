import t, { type Test } from 'tap'
import { contact, secondsAgo, status, text, webhook } from '../../support/meta.ts'
import { until } from '../../support/process.ts'
import { ANN, BOB, start, USER_ID } from '../../support/whatsapp.ts'

// Kinds of messages on WhatsApp: deletions and edits, groups, contacts without a phone number, and messages that are not text.

t.jobs = 3 // for tests that are `buffered`

const SORRY = 'Sorry, I can only read text messages. Please write it to me.'

/** Webhooks for deletions and edits, as Meta documents them. @see https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/revoke */
const revoke = (from: string, original: string, more: object = {}) => text(from, '', { type: 'revoke', text: undefined, revoke: { original_message_id: original }, ...more })
const edit = (from: string, original: string, body: string, more: object = {}) =>
  text(from, '', { type: 'edit', text: undefined, edit: { original_message_id: original, message: { context: { id: 'M0' }, type: 'text', text: { body } } }, ...more })
const moved = (from: string, to: string, more: object = {}) => text(from, '', { type: 'system', text: undefined, system: { type: 'user_changed_number', wa_id: to }, ...more })
const only = (...messages: object[]) => webhook({ contacts: [contact(ANN)], messages })

async function startThinking (t: Test) {
  const server = await start(t, { bot: 'slow' })
  await server.query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  server.bots.takeOver()
  const handled = () => until(async () => (await server.query('SELECT FROM whatsapp_inbox WHERE about IS NOT NULL AND handled_at IS NULL')).length === 0)
  const log = async () => (await server.query('SELECT sender, text, status, rev FROM messages ORDER BY id')).map(({ sender, text, status }) => `${sender} ${status}: ${text}`)
  return { ...server, handled, log }
}

t.test('a contact deletes and edits messages after they are answered: the log shows it, each with a new rev', { buffered: true }, async t => {
  const { deliver, meta, allDone, query, said } = await start(t, { bot: 'simulated' })
  const one = text(ANN, 'one', { timestamp: secondsAgo(9) })
  const two = text(ANN, 'two', { timestamp: secondsAgo(8) })
  const bobs = text(BOB, 'three')
  const reaction = text(ANN, '', { type: 'reaction' })
  await deliver(only(one, two, reaction))
  await allDone() // so that this conversation is the first one
  await deliver(webhook({ contacts: [contact(BOB)], messages: [bobs] }))
  await allDone()
  const rev = async () => Number((await query('SELECT last_rev FROM conversations ORDER BY id LIMIT 1'))[0].last_rev)
  const before = await rev()
  await deliver(only(revoke(ANN, one.id), edit(ANN, two.id, 'zwei'), revoke(ANN, bobs.id), revoke(ANN, 'wamid.nothing'), revoke(ANN, reaction.id), text(ANN, '', { type: 'revoke' })))
  await allDone()
  t.same(await said(ANN), ['user: ', 'bot: You said: one', 'user: zwei', 'bot: You said: two'])
  t.same(await said(BOB), ['user: three', 'bot: You said: three'], 'a contact cannot delete another contact’s message')
  t.equal(await rev(), before + 2)
  t.match(await query("SELECT status FROM messages WHERE text = '' "), [{ status: 'deleted' }])
  t.equal(meta.asked, 3, 'no reply is sent for it')
  t.same(await query('SELECT problem FROM whatsapp_inbox WHERE problem IS NOT NULL'), [{ problem: 'changes a message without an id' }])

  const again = edit(ANN, two.id, 'dos')
  await deliver(only(again))
  await deliver(only(again))
  await deliver(only(edit(ANN, two.id, ' \u0000 ', { timestamp: secondsAgo(-1) }), edit(ANN, one.id, 'back')))
  await allDone()
  t.same((await said(ANN))[2], 'user: dos', 'an edit to an empty text is ignored')
  t.same((await said(ANN))[0], 'user: ', 'an edit does not restore a deleted message')
  await query('UPDATE whatsapp_inbox SET handled_at = NULL')
  await deliver(only(text(ANN, 'four')))
  await allDone()
  t.equal(await rev(), before + 2 + 1 + 2, 'repeated webhooks change nothing')
  await query("UPDATE messages SET text = '', status = 'deleted' WHERE text = 'dos'")
  await deliver(only(edit(ANN, two.id, 'due')))
  await allDone()
  t.equal((await said(ANN))[2], 'user: ', 'an edit does not restore a message that was deleted in the log')
})

t.test('a contact with a new number deletes a message that was sent from the old one, and keeps the name', { buffered: true }, async t => {
  const { deliver, allDone, said, query } = await start(t, { bot: 'simulated' })
  const say = async (phone: string, name: string, message: object) => {
    await deliver(webhook({ contacts: [contact(phone, name)], messages: [message] }))
    await allDone()
  }
  const [one, two] = [text(ANN, 'one'), text(ANN, 'two')]
  await say(ANN, 'Ann', one)
  await say(ANN, 'Ann', two)
  await say(ANN, 'Anna', text(ANN, 'three'))
  await say(ANN, 'Anna', revoke(ANN, one.id))
  const people = async () => (await query('SELECT name, address FROM users JOIN identities ON user_id = users.id')).map(({ name, address }) => `${name} ${address}`)
  t.same(await people(), [`Anna ${ANN}`], 'an older message does not bring an older name back')
  await say(ANN, 'Anna', moved(ANN, BOB))
  await say(BOB, 'Anna', revoke(BOB, two.id))
  t.same((await said()).filter(line => line.startsWith('user')), ['user: ', 'user: ', 'user: three'])
  t.same(await people(), [`Anna ${BOB}`], 'the old number leads to nobody')
})

t.test('a bot does not get a message that was deleted, or its old text, before it was answered, in any order of the webhooks', { buffered: true }, async t => {
  const { deliver, allDone, said, work, meta, query } = await start(t, { bot: 'simulated', works: false })
  const [gone, early, changed, twice, kept] = [1, 2, 3, 4, 5].map(n => text(ANN, `secret ${n}`, { timestamp: secondsAgo(10 - n) }))
  const image = text(ANN, '', { type: 'image', image: { caption: 'secret 6' }, timestamp: secondsAgo(4) })
  const caption = { original_message_id: image.id, message: { type: 'image', image: { caption: 'A cat' } } }
  await deliver(only(revoke(ANN, early!.id), edit(ANN, twice!.id, 'secret 4b'), edit(ANN, twice!.id, 'four')))
  await deliver(only(gone!, early!, changed!, twice!, { ...kept!, text: { body: 'five' } }, image))
  await deliver(only(revoke(ANN, gone!.id), edit(ANN, changed!.id, 'three'), text(ANN, '', { type: 'edit', edit: caption })))
  await work()
  await allDone()
  t.same(await said(), [
    'user: three', 'bot: You said: three', 'user: four', 'bot: You said: four', 'user: five', 'bot: You said: five', 'user: [image] A cat', `bot: ${SORRY}`
  ])
  t.notMatch(JSON.stringify(meta.sent), /secret/)
  t.same(await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL'), [])
})

t.test('a streaming bot: one of several messages is deleted, and the bot is called again with the others', { buffered: true }, async t => {
  const { deliver, bots, meta, handled, log, allDone } = await startThinking(t)
  const one = text(ANN, 'secret', { timestamp: secondsAgo(9) })
  const two = text(ANN, 'two', { timestamp: secondsAgo(8) })
  await deliver(only(one, two, text(ANN, '', { type: 'reaction' })))
  const first = await bots.call(1)
  t.same(first.turns.map(({ text }) => text), ['secret\ntwo'])
  first.say('Your secret')
  await deliver(only(revoke(ANN, one.id), edit(ANN, two.id, 'zwei')))
  const second = await bots.call(2)
  t.same(second.turns.map(({ text }) => text), ['zwei'])
  second.say('Two it is')
  second.end()
  await meta.has(1)
  await handled()
  await allDone()
  t.same(await log(), ['user complete: zwei', 'bot complete: Two it is'])
  t.same(meta.sent.map(({ text }) => text), ['Two it is'])

  await deliver(only(edit(ANN, two.id, 'due')))
  await allDone()
  t.same(await log(), ['user complete: due', 'bot complete: Two it is'], 'answered messages are not sent to the bot again')
})

t.test('a streaming bot: an edit that makes the joined messages too long is cut, and the other messages stay whole', { buffered: true }, async t => {
  const { deliver, bots, query, allDone } = await startThinking(t)
  const [one, two, three] = [text(ANN, 'one', { timestamp: secondsAgo(9) }), text(ANN, '2'.repeat(4_000), { timestamp: secondsAgo(8) }), text(ANN, '3'.repeat(3_900), { timestamp: secondsAgo(7) })]
  await deliver(only(one, two, three))
  await bots.call(1)
  await deliver(only(edit(ANN, one.id, '1'.repeat(4_000))))
  const { turns, say, end } = await bots.call(2)
  t.same(turns.map(({ text }) => text), [`${'1'.repeat(98)}\n${two.text.body}\n${three.text.body}`])
  say('Done')
  end()
  await allDone()
  await deliver(only(edit(ANN, two.id, '22'), edit(ANN, three.id, '33')))
  await allDone()
  t.same(await query("SELECT text FROM messages WHERE sender = 'user'"), [{ text: `${'1'.repeat(4_000)}\n22\n33` }])
})

t.test('a reply is not sent if its message is deleted meanwhile, and the bot does not get that message later', { buffered: true }, async t => {
  const { deliver, bots, meta, handled, log, allDone, query } = await startThinking(t)
  const one = text(ANN, 'secret')
  await deliver(only(one))
  const first = await bots.call(1)
  first.say('Your secret')
  await until(async () => (await log())[1] === 'bot streaming: Your secret')
  await deliver(only(revoke(ANN, one.id)))
  await handled()
  await allDone()
  t.same(await log(), ['user deleted: ', 'bot deleted: '])
  t.equal(meta.asked, 0)
  await deliver(only(text(ANN, 'Hi')))
  const second = await bots.call(2)
  t.same(second.turns.map(({ text }) => text), ['Hi'])
  second.say('Hi')
  second.end()
  await meta.has(1)
  t.same(await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL AND kind = $1', ['message']), [])
})

t.test('a reply that was finished before the edit arrived, and one that cannot be generated again', { buffered: true }, async t => {
  const { deliver, bots, meta, log, query, allDone, admin } = await startThinking(t)
  const root = await admin()
  const one = text(ANN, 'one')
  await deliver(only(one))
  const first = await bots.call(1)
  await query("SELECT graphile_worker.remove_job('whatsapp-inbox 16505551234')") // no job waits for the reply
  first.say('First')
  first.end()
  await until(async () => (await log())[1] === 'bot complete: First')
  await deliver(only(edit(ANN, one.id, 'eins')))
  const second = await bots.call(2)
  t.same(second.turns.map(({ text }) => text), ['eins'])
  second.say('Second, as far')
  await until(async () => (await log())[1] === 'bot streaming: Second, as far')
  await root.post('/api/admin/whatsapp/templates/reminder', { to: ANN, language: 'en' })
  await query("UPDATE messages SET status = 'interrupted', lease_owner = NULL WHERE status = 'streaming'")
  await meta.has(2)
  await allDone()
  t.same(meta.sent.map(({ body, text }) => body['type'] === 'template' ? 'template' : text), ['template', 'Second, as far'])
})

t.test('an interrupted reply is generated again as soon as the limit of concurrent replies allows it', { buffered: true }, async t => {
  const { deliver, bots, meta, log, query } = await startThinking(t)
  await deliver(only(text(ANN, 'one')))
  const first = await bots.call(1)
  first.say('First')
  await until(async () => (await log())[1] === 'bot streaming: First')
  // Three other replies to the same user, generated by another instance.
  await query(`WITH elsewhere AS (INSERT INTO conversations (name, owner_id, last_rev) SELECT 'Elsewhere', id, 4 FROM users RETURNING id, owner_id)
    INSERT INTO messages (conversation_id, id, rev, sender, user_id, reply_to, text, status, lease_owner, lease_until)
    SELECT id, 1, 1, 'user'::sender, owner_id, NULL::bigint, 'Hi', 'complete'::message_status, NULL, NULL::timestamptz FROM elsewhere
    UNION ALL SELECT id, n, n, 'bot', NULL, 1, '', 'streaming', 'another', now() + interval '1 hour' FROM elsewhere, generate_series(2, 4) n`)
  await query("UPDATE messages SET status = 'interrupted', lease_owner = NULL WHERE text = 'First'")
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE task_identifier = 'whatsapp-inbox' AND attempts > 0 AND last_error LIKE '%under way%'")).length === 1)
  await query("DELETE FROM conversations WHERE name = 'Elsewhere'")
  const second = await bots.call(2)
  second.say('Second')
  second.end()
  await meta.has(1)
  t.same(meta.sent.map(({ text }) => text), ['Second'])
})

t.test('a message is deleted after it was stored, and before its reply was in the ledger', { buffered: true }, async t => {
  const { deliver, meta, said, query, allDone } = await start(t, { bot: 'favorite-song' })
  const one = text(ANN, 'hello')
  await deliver(only(one))
  await meta.has(1)
  await allDone()
  // The state that a server leaves if it dies just before it puts the reply into the ledger.
  await query('DELETE FROM whatsapp_deliveries; UPDATE whatsapp_inbox SET handled_at = NULL')
  await deliver(only(revoke(ANN, one.id)))
  await meta.has(2)
  await allDone()
  t.same(await said(), ['user: ', 'bot: What is your name?'])
  t.same(meta.sent.map(({ text }) => text), ['What is your name?', 'What is your name?'], 'the script has continued, and its question is sent')
})

t.test('a message in a group is never answered in private', { buffered: true }, async t => {
  const { deliver, meta, said, query, allDone } = await start(t, { bot: 'simulated' })
  const group = { group_id: 'HBgLMTY1MDM4Nzk0MzkVAgASGBQ' }
  const mine = text(ANN, 'to you')
  await deliver(only(text(ANN, 'to all', group), text(ANN, 'to all', { group_id: 7 }), text(ANN, '', { type: 'image', image: {}, ...group }), mine))
  await deliver(webhook({ contacts: [{ ...contact(ANN), user_id: USER_ID }], statuses: [status('wamid.group', group.group_id, 'read', { recipient_type: 'group' })] }))
  await deliver(only(revoke(ANN, mine.id, group)))
  await allDone()
  t.same(await said(), ['user: to you', 'bot: You said: to you'])
  t.equal(meta.asked, 1)
  t.same((await query('SELECT problem FROM whatsapp_inbox WHERE problem IS NOT NULL ORDER BY id')).map(({ problem }) => problem),
    ['is a message of a group', 'is a message of a group', 'is a message of a group', 'is a status of a group', 'is a message of a group'])
})

t.test('a user id in any field is one contact, and replies use the field for user ids', { buffered: true }, async t => {
  const { deliver, meta, allDone, query } = await start(t, { bot: 'simulated' })
  const ways: Array<[message: object, contact: object | undefined]> = [
    [{ from: USER_ID }, undefined],
    [{ from: undefined, from_user_id: USER_ID }, undefined],
    [{ from: undefined }, { wa_id: USER_ID }],
    [{ from: undefined }, { user_id: USER_ID }],
    [{ from: USER_ID, from_user_id: USER_ID }, { wa_id: USER_ID, user_id: USER_ID }],
    [{ from: '', from_user_id: USER_ID }, { wa_id: '', user_id: USER_ID }]
  ]
  for (const [n, [message, one]] of ways.entries()) {
    await deliver(webhook({ ...one && { contacts: [one] }, messages: [text(ANN, `${n}`, message)] }))
    await allDone()
    t.match(meta.sent.at(-1), { text: `You said: ${n}`, body: { recipient: USER_ID } })
    t.notOk('to' in meta.sent.at(-1)!.body)
    await deliver(webhook({ ...one && { contacts: [one] }, statuses: [{ ...status(meta.sent.at(-1)!.id, '', 'read'), recipient_id: n % 2 === 0 ? USER_ID : undefined, recipient_user_id: n % 2 === 0 ? undefined : USER_ID }] }))
  }
  await allDone()
  t.same(await query('SELECT DISTINCT contact, state FROM whatsapp_deliveries'), [{ contact: USER_ID, state: 'read' }])
  t.same(await query('SELECT count(*)::int AS users FROM users'), [{ users: 1 }])
  await deliver(webhook({ contacts: [{ user_id: 'US.ENT.1', wa_id: '+49301' }, { parent_user_id: 'US.ENT.2' }], messages: [text('49301', 'plus'), text(ANN, 'parent', { from: undefined, from_parent_user_id: 'US.ENT.2' })] }))
  await allDone()
  t.same(meta.sent.slice(-2).map(({ to }) => to).sort(), ['49301', 'US.ENT.2'])
})

t.test('a contact that changes from a number to a user id, or changes one of them, stays one contact with ordered messages', { buffered: true }, async t => {
  const { deliver, meta, allDone, query, said, work } = await start(t, { bot: 'simulated', works: false })
  const say = async (body: string, message: object, one?: object) => await deliver(webhook({ ...one && { contacts: [one] }, messages: [text(ANN, body, message)] }))
  await say('1', { timestamp: secondsAgo(9) }, contact(ANN))
  await say('2', { timestamp: secondsAgo(8), from_user_id: USER_ID }, { ...contact(ANN), user_id: USER_ID })
  await say('3', { timestamp: secondsAgo(7), from: undefined, from_user_id: USER_ID })
  await say('4', { timestamp: secondsAgo(6) })
  t.same(await query('SELECT DISTINCT contact FROM whatsapp_inbox'), [{ contact: ANN }])
  await work()
  await allDone()
  t.same(meta.sent.map(({ to, text }) => `${to} ${text}`), [1, 2, 3, 4].map(n => `${ANN} You said: ${n}`))
  const changed = (system: object, message: object = {}) => deliver(webhook({ messages: [text(ANN, '', { type: 'system', text: undefined, system: { body: 'User changed', ...system }, ...message })] }))
  const number = { type: 'user_changed_number', wa_id: '4930', user_id: 'DE.1', previous_user_id: USER_ID }
  await changed(number)
  await say('5', { from: '4930', from_user_id: 'DE.1' })
  await allDone()
  t.equal(meta.sent.at(-1)!.to, '4930')
  await changed({ type: 'user_changed_user_id', user_id: 'DE.2', previous_user_id: 'DE.1' }, { from: undefined, from_user_id: 'DE.2' })
  await say('6', { from: undefined, from_user_id: 'DE.2' })
  await allDone()
  t.same(meta.sent.at(-1)!.body['recipient'], 'DE.2')
  await changed({ type: 'customer_changed_number', new_wa_id: '4931' }, { from: '49309' })
  await changed({ type: 'user_changed_number' })
  await changed({ type: 'customer_identity_changed' })
  await allDone()
  t.equal((await query('SELECT FROM users')).length, 1)
  t.equal(meta.asked, 6, 'system messages about a contact are not answered')
  t.same((await said()).filter(line => line.startsWith('user')).length > 0, true)
  t.same((await query("SELECT text FROM messages WHERE sender = 'user' ORDER BY conversation_id, id")).map(({ text }) => text), ['1', '2', '3', '4', '5', '6'])
  t.same((await query('SELECT DISTINCT contact FROM whatsapp_deliveries')), [{ contact: ANN }])

  await say('7', { from: ANN, from_user_id: 'GB.1' })
  await allDone()
  t.equal(meta.sent.at(-1)!.to, ANN, 'the new owner of the number is answered')
  t.equal((await query('SELECT FROM users')).length, 2, 'the new owner is a different user')
})

t.test('a message from before a change of the user id, which comes late, does not bring the old id back', { buffered: true }, async t => {
  const { deliver, meta, allDone, query } = await start(t, { bot: 'simulated' })
  const say = async (from_user_id: string, body: string, more: object = {}) => {
    await deliver(webhook({ messages: [text(ANN, body, { from: undefined, from_user_id, ...more })] }))
    await allDone()
    return meta.sent.at(-1)!
  }
  await say('US.1', '1')
  await deliver(webhook({ messages: [text(ANN, '', { from: undefined, from_user_id: 'US.2', type: 'system', text: undefined, system: { type: 'user_changed_user_id', user_id: 'US.2', previous_user_id: 'US.1' } })] }))
  t.match(await say('US.1', '2', { timestamp: secondsAgo(9) }), { text: 'You said: 2', body: { recipient: 'US.2' } })
  t.match(await say('US.2', '3'), { text: 'You said: 3', body: { recipient: 'US.2' } })
  t.same(await query('SELECT DISTINCT contact FROM whatsapp_inbox'), [{ contact: 'US.1' }], 'the messages stay those of one contact, in order')
})

t.test('a message from before a change of the number, which comes late, does not bring the old number back', { buffered: true }, async t => {
  const { deliver, meta, allDone } = await start(t, { bot: 'simulated' })
  const say = async (from: string, from_user_id: string, body: string, more: object = {}) => {
    await deliver(webhook({ messages: [text(from, body, { from_user_id, ...more })] }))
    await allDone()
    return `${meta.sent.at(-1)!.to} ${meta.sent.at(-1)!.text}`
  }
  t.equal(await say(ANN, 'US.1', '1', { timestamp: secondsAgo(20) }), `${ANN} You said: 1`)
  await deliver(webhook({ messages: [moved(ANN, BOB, { timestamp: secondsAgo(10), system: { type: 'user_changed_number', wa_id: BOB, user_id: 'US.2', previous_user_id: 'US.1' } })] }))
  t.equal(await say(ANN, 'US.1', '2', { timestamp: secondsAgo(15) }), `${BOB} You said: 2`)
  t.equal(await say(BOB, 'US.2', '3'), `${BOB} You said: 3`)
  t.equal(await say('4930', 'US.2', '4'), '4930 You said: 4', 'a newer message brings a newer number, also without a notice')
})

t.test('after a number was given to another person, it no longer leads to its former contact', { buffered: true }, async t => {
  const { deliver, meta, allDone, query } = await start(t, { bot: 'simulated' })
  const say = async (body: string, from_user_id: string, from?: string) => {
    await deliver(webhook({ messages: [text(ANN, body, { from, from_user_id })] }))
    await allDone()
    return meta.sent.at(-1)!.body
  }
  t.match(await say('1', 'US.1', ANN), { to: ANN })
  t.match(await say('2', 'US.2', ANN), { to: ANN })
  t.match(await say('3', 'US.1'), { recipient: 'US.1' })
  t.match(await say('4', 'US.2'), { to: ANN })
  t.same(await query('SELECT contact, phone FROM whatsapp_contacts ORDER BY contact'), [{ contact: 'US.1', phone: null }, { contact: 'US.2', phone: ANN }])
})

t.test('after WhatsApp has announced a new number, a new owner of the old one is another user', { buffered: true }, async t => {
  const { deliver, meta, allDone, query } = await start(t)
  const say = async (from: string, body: string) => {
    await deliver(webhook({ messages: [text(from, body)] }))
    await allDone()
    return `${meta.sent.at(-1)!.to} ${meta.sent.at(-1)!.text}`
  }
  const changed = async (from: string, to: string) => {
    await deliver(webhook({ messages: [text(from, '', { type: 'system', text: undefined, system: { type: 'user_changed_number', wa_id: to } })] }))
    await allDone()
  }
  for (const body of ['hello', 'Ann', 'Yesterday']) await say(ANN, body)
  await changed(ANN, ANN)
  await changed(ANN, BOB)
  t.equal(await say(BOB, 'And now?'), `${BOB} Hello Ann! Your favorite song is Yesterday`)
  t.equal(await say(ANN, 'And now?'), `${ANN} Invalid initial input, please say hello.`, 'she has another conversation, and does not learn the name')
  t.equal(await say(BOB, 'And now?'), `${BOB} Hello Ann! Your favorite song is Yesterday`)

  await changed(ANN, BOB) // which belongs to the first user
  t.equal(await say(ANN, 'hello'), `${ANN} What is your name?`)
  t.equal((await query('SELECT FROM users')).length, 2)
})

t.test('a reply that waits while its contact changes the number goes to the new number, not to the new owner of the old one', { buffered: true }, async t => {
  const { deliver, meta, allDone, query, hurry, holdRetries, admin, clientOf } = await start(t, { bot: 'simulated' })
  const root = await admin()
  const { key } = (await root.post('/api/admin/keys', { name: 'shop', scopes: ['act'] })).json()
  await holdRetries()
  meta.plan({ status: 503 })
  await deliver(webhook({ messages: [text(ANN, 'My secret')] }))
  await until(async () => (await query('SELECT FROM whatsapp_deliveries WHERE attempts > 0')).length === 1)
  await deliver(webhook({ messages: [moved(ANN, BOB)] }))
  await deliver(webhook({ messages: [text(ANN, 'I am new')] }))
  await until(async () => (await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL')).length === 0)
  await hurry()
  await allDone()
  const sent = () => meta.sent.map(({ to, text }) => `${to} ${text}`)
  t.same(sent().sort(), [`${ANN} You said: I am new`, `${BOB} You said: My secret`])
  const ledger = async () => (await query('SELECT contact, count(*)::int FROM whatsapp_deliveries GROUP BY 1 ORDER BY 1')).map(({ contact, count }) => `${contact}: ${count}`)
  t.same(await ledger(), [`${ANN}: 1`, `${ANN}-2: 1`])

  const [first] = await query('SELECT min(id) AS id FROM conversations')
  t.equal((await clientOf({ authorization: `Bearer ${key}` }).post(`/api/conversations/${first.id}/messages`, { text: 'Bye', as: { bot: 'simulated' } })).statusCode, 201)
  await allDone()
  t.equal(sent().at(-1), `${BOB} Bye`)

  // The numbers go round once more: each of the three contacts has its own row, and keeps it.
  await deliver(webhook({ messages: [moved(ANN, '4930')] }))
  for (const [number, body] of [[ANN, 'third'], ['4930', 'second'], [BOB, 'first'], [ANN, 'third again']] as const) await deliver(webhook({ messages: [text(number, body)] }))
  await allDone()
  t.same(await ledger(), [`${ANN}: 3`, `${ANN}-2: 2`, `${ANN}-3: 2`])
  t.same(sent().slice(3).sort(), [`${ANN} You said: third`, `${ANN} You said: third again`, `${BOB} You said: first`, '4930 You said: second'].sort())

  const users = await query('SELECT user_id AS id FROM identities ORDER BY address') // of ANN, BOB and 4930, by address
  const contacts = async () => (await query('SELECT contact, phone FROM whatsapp_contacts UNION SELECT contact, NULL FROM whatsapp_inbox WHERE contact NOT IN (SELECT contact FROM whatsapp_contacts) ORDER BY 1')).map(({ contact, phone }) => `${contact}: ${phone}`)
  t.same(await contacts(), [`${ANN}: ${BOB}`, `${ANN}-2: 4930`, `${ANN}-3: ${ANN}`])
  t.equal((await root.delete(`/api/admin/users/${users[0].id}`)).statusCode, 204)
  t.same(await contacts(), [`${ANN}: ${BOB}`, `${ANN}-2: 4930`], 'deleting the present owner of a number deletes nothing of the former ones')
  t.equal((await root.delete(`/api/admin/users/${users[1].id}`)).statusCode, 204)
  t.same(await contacts(), [`${ANN}-2: 4930`], 'everything of a contact is deleted, whatever its key')
})

t.test('a streaming bot: messages before and after a new number are answered in the same conversation', { buffered: true }, async t => {
  const { deliver, bots, meta, allDone, query } = await startThinking(t)
  const answer = async (nth: number) => {
    const call = await bots.call(nth)
    call.say(`Answer ${nth}`)
    call.end()
    await meta.has(nth)
    return call.turns.map(({ text }) => text)
  }
  await deliver(webhook({ messages: [text(ANN, 'one', { timestamp: secondsAgo(20) })] }))
  await answer(1)
  await allDone()
  await deliver(webhook({
    messages: [
      text(ANN, 'My secret', { timestamp: secondsAgo(9) }), text(ANN, 'two', { timestamp: secondsAgo(8) }), moved(ANN, BOB, { timestamp: secondsAgo(7) }), text(BOB, 'three', { timestamp: secondsAgo(6) })
    ]
  }))
  t.same(await answer(2), ['one', 'Answer 1', 'My secret\ntwo'])
  t.same(await answer(3), ['one', 'Answer 1', 'My secret\ntwo', 'Answer 2', 'three'])
  await allDone()
  t.same(await query('SELECT address FROM identities'), [{ address: BOB }], 'the old number leads to nobody')
})

t.test('forms, orders and unknown types are shown by their type in the log, and are answered', { buffered: true }, async t => {
  const { deliver, meta, allDone, said, query } = await start(t, { bot: 'simulated' })
  const say = (type: unknown, content: object = {}) => text(ANN, '', { type, text: undefined, [String(type)]: content })
  await deliver(only(
    say('interactive', { type: 'nfm_reply', nfm_reply: { name: 'flow', body: 'Sent', response_json: '{"rating":"4"}' } }),
    say('interactive', { type: 'nfm_reply', nfm_reply: { name: 'address_message', body: '12 Main Street', response_json: '{}' } }),
    say('interactive', { type: 'call_permission_reply', call_permission_reply: { response: 'accept' } }),
    say('interactive', { type: 'list_reply', list_reply: {} }),
    say('interactive'),
    say('button', { payload: 'x' }),
    say('order', { catalog_id: '1', text: 'Before noon, please', product_items: [{ product_retailer_id: 'di9ozbzfi4', quantity: 2, item_price: 30, currency: 'USD' }] }),
    say('poll_creation'), say('video_note'), say('приглашение'), say('🎲'), say('x'.repeat(1_000)), say(undefined), say(7), say('request_welcome'), say('ephemeral')
  ))
  await allDone()
  const words = ['[form]', '[form] 12 Main Street', '[call permission reply]', '[list reply]', '[interactive]', '[button]', '[order] Before noon, please',
    '[poll creation]', '[video note]', '[приглашение]', '[message]', `[${'x'.repeat(40)}]`, '[message]', '[message]', '[chat opened]', '[ephemeral]']
  t.same((await said()).filter(line => line.startsWith('user')), words.map(word => `user: ${word}`))
  t.equal(meta.sent.length, words.length)
  t.same([...new Set(meta.sent.map(({ text }) => text))].sort(), ['Hello! Please write me a message.', SORRY])
  await deliver(only(say('reaction', { message_id: 'wamid.x', emoji: '👍' }), say('system', { type: 'of tomorrow' })))
  await allDone()
  t.equal(meta.sent.length, words.length)
  t.same(await query('SELECT FROM whatsapp_inbox WHERE handled_at IS NULL'), [])
})
