import t from 'tap'
import { createDraft, lastOf, take, takeBack, takeBackThoughts, think } from '../../src/replies/draft.ts'
import { growingPartsOf } from '../../src/text/message-parts.ts'
import { connect, follow, next, tokenOf, type Live } from '../support/live.ts'
import { listen, openStream } from '../support/reader.ts'
import { ask, hasStatus, isStored, messagesOf, oneInstance, rowOf, twoInstances } from '../support/slow-replies.ts'
import { until } from '../support/process.ts'

// What a model thinks before it answers: a part of its reply.

const reasoning = (text: string) => ({ type: 'reasoning', text })
const text = (text: string) => ({ type: 'text', text })

t.test('reasoning grows like text, for readers of every instance, from wherever they begin', async t => {
  const { one, two, ann, annAtTwo, id, url, query } = await twoInstances(t)
  const [here, there] = [await listen(one), await listen(two)]
  const [near, far] = [await openStream(t, `${here}${url}/events?after=0`, ann), await openStream(t, `${there}${url}/events?after=0`, annAtTwo)]
  const socket = await connect(t, there, { auth: { token: tokenOf(annAtTwo) } })
  const live = follow(socket)
  await live.join(id)
  const deltas: object[] = []
  socket.on('message_delta', delta => deltas.push(delta))
  const sent = ask(ann, url, 'Hi')
  const call = await one.bots.call(1)
  call.think(' \n')
  call.think('The user ')
  call.think('greets 😀.')
  for (const { screen } of [near, far]) await screen.until(() => JSON.stringify(screen.parts(2)) === JSON.stringify([reasoning('The user greets 😀.')]))
  t.equal(near.screen.text(2), '', 'it is no part of the text')
  await until(async () => (await rowOf({ query }, 2)).parts?.[0].text === 'The user greets 😀.')
  const [late, lateThere] = [await openStream(t, `${here}${url}/events?after=0`, ann), await openStream(t, `${there}${url}/events?after=0`, annAtTwo)]
  call.say('Hello ')
  call.say('Ann.')
  call.think('Was that all?')
  call.say(' Bye.')
  const parts = [reasoning('The user greets 😀.'), text('Hello Ann.'), reasoning('Was that all?'), text(' Bye.')]
  for (const { screen } of [near, far, late, lateThere]) {
    await screen.until(() => JSON.stringify(screen.parts(2)) === JSON.stringify(parts))
    t.equal(screen.text(2), 'Hello Ann. Bye.')
  }
  t.match((await annAtTwo.get(`${url}/messages/2`)).json(), { status: 'streaming', text: 'Hello Ann. Bye.', parts })
  const ended = next<Live>(socket, 'new_message')
  call.end()
  t.match((await sent).json()[1], { text: 'Hello Ann. Bye.', parts, status: 'complete' })
  t.match(await ended, { text: 'Hello Ann. Bye.', parts, status: 'complete' })
  t.match(deltas[0], { id: 2, type: 'reasoning', offset: 0, text: /^The user/ })
  t.notOk('part' in deltas[0]!, 'the part is left out for the first one')
  t.match(deltas.at(-1), { part: 3 })
  const whole = deltas.reduce<string[]>((whole, delta) => {
    const { part = 0, offset, text } = delta as { part?: number, offset: number, text: string }
    return Object.assign(whole, { [part]: (whole[part] ?? '').slice(0, offset) + text })
  }, [])
  t.same(whole, parts.map(({ text }) => text))

  const again = ask(ann, url, 'And?')
  const second = await one.bots.call(2)
  t.same(second.turns.map(({ text }) => text), ['Hi', 'Hello Ann. Bye.', 'And?'], 'it is not sent to a bot')
  second.say('x')
  second.end()
  await again
})

t.test('a stopped reply keeps its reasoning, and another attempt begins without it', async t => {
  const { ann, url, bots, query } = await oneInstance(t)
  const sent = ask(ann, url, 'Hi')
  const first = await bots.call(1)
  first.think('Hm')
  await until(async () => (await rowOf({ query }, 2)).parts !== null)
  await ann.post(`${url}/stop`)
  t.match((await sent).json()[1], { status: 'stopped', text: '', parts: [reasoning('Hm')] })
  const again = ann.post(`${url}/messages/2/regenerate`)
  const second = await bots.call(2)
  t.notOk('parts' in (await messagesOf(ann, url))[1])
  second.say('Well')
  second.end()
  const reply = (await again).json()
  t.match(reply, { status: 'complete', text: 'Well' })
  t.notOk('parts' in reply)

  const third = ask(ann, url, 'And?')
  const call = await bots.call(3)
  call.think('So')
  call.fail(Object.assign(new Error('gone'), { failure: 'BOT_BROKE_OFF' }))
  t.match((await third).json()[1], { status: 'failed', parts: [reasoning('So')] })
})

t.test('reasoning that turns out to be the text is taken back', async t => {
  const { ann, url, bots } = await oneInstance(t)
  const sent = ask(ann, url, 'Hi')
  const { think, give, say, end } = await bots.call(1)
  think('Well, this')
  give({ reasoning: '', replaces: true })
  say('Well, this is it')
  end()
  const reply = (await sent).json()[1]
  t.match(reply, { text: 'Well, this is it', status: 'complete' })
  t.notOk('parts' in reply)
})

t.test('the reasoning of a reply whose server died is kept', async t => {
  const { one, two, ann, annAtTwo, url, query } = await twoInstances(t)
  ask(ann, url, 'Hi').catch(() => { /* never answered */ })
  const call = await one.bots.call(1)
  call.think('Hm')
  call.say('Well')
  await isStored({ query }, 2, 'Well')
  await query("UPDATE messages SET lease_owner = 'another', lease_until = now() - interval '1 minute' WHERE id = 2")
  await hasStatus(two, 2, 'interrupted')
  t.match((await messagesOf(annAtTwo, url))[1], { text: 'Well', parts: [reasoning('Hm'), text('Well')] })
})

t.test('a socket that takes whole replies gets the parts with the reply', async t => {
  const { app, ann, id, url, bots } = await oneInstance(t)
  const socket = await connect(t, await listen({ app }), { auth: { token: tokenOf(ann) } })
  const heard: Live[] = []
  socket.on('new_message', message => heard.push(message))
  const sending = socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' })
  const call = await bots.call(1)
  await sending
  call.think('Hm')
  call.say('Well')
  call.end()
  await until(() => heard.length === 1)
  t.match(heard, [{ text: 'Well', status: 'complete', parts: [reasoning('Hm'), text('Well')] }])
  t.equal((await messagesOf(ann, url)).length, 2)
})

t.test('what is taken of the reasoning', async t => {
  const draft = () => createDraft({ conversation: 1, id: 2 }, 'owner')
  const long = draft()
  think(long, '\0 \n')
  t.equal(think(long, '\t'), undefined, 'no white space at the beginning')
  think(long, 'a\0\ud83d')
  t.same(think(long, '\ude00'), { part: 0, type: 'reasoning', text: 'a😀', piece: '😀', before: 0 }, 'whole characters')
  think(long, '😀'.repeat(40_000))
  t.equal(think(long, 'more'), undefined)
  take(long, 'Well')
  const [thought, said] = growingPartsOf({ text: '', parts: lastOf(long).parts! })
  t.same([thought!.text.length, said], [2 * 32_000 - 1, text('Well')], 'no more than 32,000 characters')

  const alternating = draft()
  for (let n = 0; n < 5_000; n++) {
    think(alternating, 'a')
    take(alternating, 'b')
  }
  const { parts, piece } = lastOf(alternating)
  t.same([parts!.length, piece], [200, 'b'.repeat(5_000)], 'text and reasoning take turns 200 times at most, and no text is lost')
  t.same(parts!.at(-1), text('b'.repeat(4_901)), 'the text goes on in the last part')

  const torn = draft()
  think(torn, 'a\ud83d')
  take(torn, 'Well')
  think(torn, 'b')
  t.same(lastOf(torn).parts, [reasoning('a'), text('Well'), reasoning('b')], 'half a character does not get into the next part')

  const silent = draft()
  t.equal(take(silent, ''), undefined)
  think(silent, 'a')
  t.equal(take(silent, '\0'), undefined)
  t.same(think(silent, 'b'), { part: 0, type: 'reasoning', text: 'ab', piece: 'b', before: 0 }, 'a text of which nothing can be shown is no part')
  t.same(lastOf(silent).parts, [reasoning('ab')])

  const mistaken = draft()
  take(mistaken, 'The user')
  takeBack(mistaken)
  think(mistaken, 'The user greets')
  t.same(take(mistaken, 'Well'), { part: 2, type: 'text', text: 'Well', piece: 'Well', before: 'The user greets'.length })
  t.match(lastOf(mistaken), { at: 0, piece: 'Well', parts: [reasoning('The user greets'), text('Well')] }, 'text that was reasoning')
  takeBack(mistaken)
  t.match(lastOf(mistaken), { at: 0, piece: '', parts: [reasoning('The user greets')] })

  const assumed = draft()
  think(assumed, 'Well, this')
  takeBackThoughts(assumed)
  take(assumed, 'Well, this is it')
  t.match(lastOf(assumed), { piece: 'Well, this is it', parts: null }, 'reasoning that was text')
  t.same(growingPartsOf({ text: 'a' }), [text('a')])
})
