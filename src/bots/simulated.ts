import type { InstantBot } from './bot.ts'

/** Says what it heard, so that a front end has somebody to talk to. */
export const simulated: InstantBot = ({ text }) => ({ text: `You said: ${text}` })
