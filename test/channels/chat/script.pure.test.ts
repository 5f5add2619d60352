import t from 'tap'
import { favoriteSong } from '../../../src/bots/guided/favorite-song.ts'
import { createGuidedBot, step, type Script } from '../../../src/bots/guided/flow.ts'

// The script of the guided chat as data.

t.test('the script as data: every state, word for word', async t => {
  const rows: Array<[from: string, says: string, reply: string, to: string]> = [
    ['INITIAL', 'hello', 'What is your name?', 'WAITING_FOR_NAME'],
    ['INITIAL', 'HeLLo', 'What is your name?', 'WAITING_FOR_NAME'],
    ['INITIAL', 'hi', 'Invalid initial input, please say hello.', 'INITIAL'],
    ['WAITING_FOR_NAME', 'J', 'Hello J, what is your favorite song?', 'WAITING_FOR_SONG'],
    ['WAITING_FOR_NAME', '🎸'.repeat(100), `Hello ${'🎸'.repeat(100)}, what is your favorite song?`, 'WAITING_FOR_SONG'],
    ['WAITING_FOR_NAME', 'x'.repeat(101), 'That name is too long. What is your name?', 'WAITING_FOR_NAME'],
    ['WAITING_FOR_SONG', 'x'.repeat(200), `Playing ${'x'.repeat(200)}`, 'COMPLETED'],
    ['WAITING_FOR_SONG', 'x'.repeat(201), 'That title is too long. What is your favorite song?', 'WAITING_FOR_SONG'],
    ['WAITING_FOR_SONG', '{name}', 'Playing {name}', 'COMPLETED'],
    ['COMPLETED', 'hello', 'What is your name?', 'WAITING_FOR_NAME'],
    ['COMPLETED', 'anything', 'Hello Jo! Your favorite song is So What', 'COMPLETED']
  ]
  for (const [at, input, reply, to] of rows) {
    const stepped = step(favoriteSong, { at, answers: { name: 'Jo', song: 'So What' } }, input)
    t.same({ reply: stepped.reply, at: stepped.place.at }, { reply, at: to }, `${at}: ${input.slice(0, 20)}`)
  }
})

t.test('another script is another piece of data', async t => {
  const script: Script = {
    start: 'ASK',
    end: 'DONE',
    states: { ASK: [{ keep: 'city', reply: 'To {city}!', next: 'DONE' }], DONE: [{ says: 'Again', reply: 'Where to?', next: 'ASK' }, { reply: 'Bye, {city}.' }] }
  }
  const bot = createGuidedBot(script)
  const asked = bot({ text: 'Rome', state: undefined })
  t.match(asked, { text: 'To Rome!', isFinished: true })
  t.match(bot({ text: 'and?', state: asked.state }), { text: 'Bye, Rome.' })
  for (const text of ['again', 'AGAIN', 'Again']) t.match(bot({ text, state: asked.state }), { text: 'Where to?' }, 'keywords ignore case')
})
