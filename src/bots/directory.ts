import type { BotRow, Directory, InstantBot } from './bot.js'
import { favoriteSong } from './guided/favorite-song.js'
import { createGuidedBot, type Script } from './guided/flow.js'
import { simulated } from './simulated.js'

/** The scripts of guided bots, by the name that a bot's settings give. */
const scripts: Record<string, Script> = { 'favorite-song': favoriteSong }

const engines: Record<string, (settings: BotRow['settings']) => InstantBot> = {
  simulated: () => simulated,
  guided: ({ script }) => createGuidedBot(scripts[String(script)]!)
}

/** Every bot that can be had, by its engine. */
export const directory: Directory = ({ engine, settings }) => engines[engine]!(settings)
