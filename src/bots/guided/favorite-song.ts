import type { Script } from './flow.ts'

/** Asks for a name and a favorite song, and remembers both. */
export const favoriteSong: Script = {
  start: 'INITIAL',
  end: 'COMPLETED',
  states: {
    INITIAL: [
      { says: 'hello', reply: 'What is your name?', next: 'WAITING_FOR_NAME' },
      { reply: 'Invalid initial input, please say hello.' }
    ],
    WAITING_FOR_NAME: [
      { atMost: 100, keep: 'name', reply: 'Hello {name}, what is your favorite song?', next: 'WAITING_FOR_SONG' },
      { reply: 'That name is too long. What is your name?' }
    ],
    WAITING_FOR_SONG: [
      { atMost: 200, keep: 'song', reply: 'Playing {song}', next: 'COMPLETED' },
      { reply: 'That title is too long. What is your favorite song?' }
    ],
    COMPLETED: [
      { says: 'hello', reply: 'What is your name?', next: 'WAITING_FOR_NAME', forget: true },
      { reply: 'Hello {name}! Your favorite song is {song}' }
    ]
  }
}
