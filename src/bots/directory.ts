import { Type } from 'typebox'
import type { Config } from '../config.js'
import type { Bot, Directory, Engines, StreamingBot } from './bot.js'
import { createCall, type CallConfig } from './call.js'
import { favoriteSong } from './guided/favorite-song.js'
import { createGuidedBot, type Script } from './guided/flow.js'
import type { OpenAiConfig } from './openai.js'
import { OpenAiSettingsSchema, WebhookSettingsSchema, type WebhookSettings } from './settings.js'
import { simulated } from './simulated.js'
import type { WebhookConfig } from './webhook.js'

/** Bots in code, by the name that a bot's settings give. */
const inCode: Record<string, Bot> = {
  simulated: { kind: 'instant', answer: simulated }
}

/** The scripts of guided bots, by the name that a bot's settings give. */
const scripts: Record<string, Script> = { 'favorite-song': favoriteSong }

const greeting = Type.Optional(Type.String({
  minLength: 1, maxLength: 8000, 'x-trimmed': true, description: 'What the bot says to a guest before anything is said'
}))

const only = { additionalProperties: false }

/** All that can run a bot. */
export function createEngines (config: CallConfig & OpenAiConfig & WebhookConfig): Engines {
  const call = createCall(config)
  const openAi = onDemand(async () => (await import('./openai.js')).createOpenAi(config, call))
  const webhook = onDemand(async () => (await import('./webhook.js')).createWebhook(config, call))
  if (config.OPENAI_API_KEY !== undefined) openAi.load() // or the first reply would wait for it

  return {
    simulated: {
      settings: Type.Object({ bot: Type.Optional(Type.Enum(Object.keys(inCode))), greeting }, only),
      createBot: ({ bot = 'simulated' }) => inCode[String(bot)]!
    },
    guided: {
      settings: Type.Object({ script: Type.Enum(Object.keys(scripts)), greeting }, only),
      createBot: ({ script }) => ({ kind: 'instant', answer: createGuidedBot(scripts[String(script)]!) })
    },
    openai: {
      settings: Type.Object({ ...OpenAiSettingsSchema.properties, greeting }, only),
      createBot: (settings, name) => streaming(async () => (await openAi.load()).createBot(settings, name)),
      close: openAi.close
    },
    webhook: {
      settings: Type.Object({ ...WebhookSettingsSchema.properties, greeting }, only),
      createBot: settings => streaming(async () => (await webhook.load()).createBot(settings as WebhookSettings)),
      close: webhook.close
    }
  }
}

/** Made when it is asked for: with its libraries an engine takes 10 MB, for those who have such bots. */
function onDemand<T extends { close: () => Promise<void> }> (make: () => Promise<T>) {
  let made: Promise<T> | undefined
  return {
    load: async () => await (made ??= make()),
    close: async () => (await made)?.close()
  }
}

function streaming (load: () => Promise<StreamingBot>): Bot {
  return {
    kind: 'streaming',
    reply: async (turns, signal) => (await load())(turns, signal)
  }
}

/** Every bot that can be had, by its engine. */
export function createDirectory (engines: Engines): Directory {
  return ({ engine, name, settings }) => engines[engine].createBot(settings, name)
}

/** The shipped bot that is in a conversation when nobody says which. */
export function defaultBot ({ OPENAI_API_KEY: key }: Pick<Config, 'OPENAI_API_KEY'>) {
  return key === undefined ? 'simulated' : 'assistant'
}
