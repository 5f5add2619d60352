import { Type } from 'typebox'
import type { Directory, Engines } from './bot.js'
import { favoriteSong } from './guided/favorite-song.js'
import { createGuidedBot, type Script } from './guided/flow.js'
import { simulated } from './simulated.js'

/** The scripts of guided bots, by the name that a bot's settings give. */
const scripts: Record<string, Script> = { 'favorite-song': favoriteSong }

const greeting = Type.Optional(Type.String({
  minLength: 1, maxLength: 8000, 'x-trimmed': true, description: 'What the bot says to a guest before anything is said'
}))

export const engines: Engines = {
  simulated: {
    settings: Type.Object({ greeting }, { additionalProperties: false }),
    createBot: () => ({ kind: 'instant', answer: simulated })
  },
  guided: {
    settings: Type.Object({ script: Type.Enum(Object.keys(scripts)), greeting }, { additionalProperties: false }),
    createBot: ({ script }) => ({ kind: 'instant', answer: createGuidedBot(scripts[String(script)]!) })
  }
}

/** Every bot that can be had, by its engine. */
export const directory: Directory = ({ engine, settings }) => engines[engine].createBot(settings)
