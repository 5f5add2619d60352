import t from 'tap'
import { startLanguageModel } from '../support/language-model.ts'
import { said, signedIn, waiting, watch, when } from '../support/parley-client.ts'
import { freePort, openPlace, until } from '../support/process.ts'

// Our own client when the server that it talks to is killed and started again, and with two instances.

t.test('a server is killed in the middle of a reply and started again', async t => {
  const model = await startLanguageModel(t)
  const place = await openPlace(t)
  const settings = { ...model.settings, PORT: String(await freePort()) }
  const first = await place.serve(settings)
  await first.join('ann')
  const parley = await signedIn(t, first.url)
  const chat = watch(t, await parley.create({ name: 'Talk' }))
  t.teardown(parley.conversations.follow(() => {}))
  await chat.send('Tell me all')
  const call = await model.call(1)
  call.say('All of it ')
  call.say('and more')
  await when(chat, state => said(state).at(-1) === 'All of it and more (streaming)')
  await when(parley.conversations, ({ conversations }) => conversations.length === 1)
  await until(async () => (await parley.request('get', '/api/conversations/{id}/messages', { path: { id: chat.id } }))[1]?.text === 'All of it and more')

  first.kill('SIGKILL')
  await first.ended
  await when(chat, ({ connection }) => connection === 'waiting')
  t.same(said(chat.state), ['Tell me all', 'All of it and more (streaming)'], 'what is known stays')
  const sent = chat.send('Are you there?')
  await when(chat, state => waiting(state)[0] === 'Are you there? (waiting)')

  await place.serve(settings)
  await when(chat, state => said(state)[1] === 'All of it and more (interrupted)')
  t.match(await sent, { text: 'Are you there?' })
  const second = await model.call(2)
  second.say('Yes')
  second.end()
  await when(chat, state => said(state).join() === 'Tell me all,All of it and more (interrupted),Are you there?,Yes')
  await when(parley.conversations, ({ connection, conversations }) => connection === 'live' && conversations[0]?.newest?.text === 'Yes')
})

t.test('what happens at one instance is live at the other', async t => {
  const model = await startLanguageModel(t)
  const place = await openPlace(t)
  const [one, two] = await Promise.all([place.serve(model.settings), place.serve(model.settings)])
  await one.join('ann')
  const [here, there] = await Promise.all([signedIn(t, one.url), signedIn(t, two.url)])
  t.teardown(there.conversations.follow(() => {}))
  await when(there.conversations, ({ isLoaded }) => isLoaded)
  const chat = watch(t, await here.create({ name: 'Talk' }))
  const same = watch(t, there.conversation(chat.id))
  await when(same, ({ connection }) => connection === 'live')
  await chat.send('Hello!')
  const { say, end } = await model.call(1)
  say('Hi')
  await when(same, state => said(state).join() === 'Hello!,Hi (streaming)')
  say(' there')
  end()
  await when(same, state => said(state).join() === 'Hello!,Hi there')
  await when(there.conversations, ({ conversations }) => conversations[0]?.newest?.text === 'Hi there')
  await same.markRead()
  await when(there.conversations, ({ conversations }) => conversations[0]?.unread === 0)

  one.kill('SIGTERM')
  await one.ended
  await when(chat, ({ connection }) => connection === 'waiting')
  t.match(await same.send('Still here?'), { text: 'Still here?' })
  ;(await model.call(2)).end()
  await when(same, ({ isReplying }) => !isReplying)
})
