import { Type } from 'typebox'
import type { Config } from '../config.ts'
import { MAX_LONG_MESSAGE_LENGTH, MAX_MESSAGE_LENGTH } from '../text/text.ts'
import { failure, type Bot, type BotTraits, type Directory, type Engines, type StreamingBot } from './bot.ts'
import type { FencedConfig } from './fenced-post.ts'
import { createCall, type CallConfig } from './provider-call.ts'
import { favoriteSong } from './guided/favorite-song.ts'
import { createGuidedBot, type Script } from './guided/flow.ts'
import type { OpenAiConfig } from './openai.ts'
import { AgUiSettingsSchema, OpenAiSettingsSchema, WebhookSettingsSchema, type AgUiSettings, type WebhookSettings } from './settings.ts'
import { simulated } from './simulated.ts'

/** Bots in code, by the name that a bot's settings give. */
const inCode: Record<string, Bot> = {
  simulated: { kind: 'instant', answer: simulated }
}

/** The scripts of guided bots, by the name that a bot's settings give. */
const scripts: Record<string, Script> = { 'favorite-song': favoriteSong }

/** Settings that every engine has. */
const common = {
  greeting: Type.Optional(Type.String({
    title: 'BotGreeting', minLength: 1, maxLength: MAX_MESSAGE_LENGTH, 'x-trimmed': true, description: 'What the bot says to a guest before anything is said'
  })),
  description: Type.Optional(Type.String({
    title: 'BotDescription', minLength: 1, maxLength: 500, 'x-trimmed': true, description: 'What the bot is for, shown to users who choose a bot'
  }))
}

/** A row whose code or script is no longer part of the program. It is shown as not ready instead of breaking every list. */
const missing: Bot = {
  kind: 'streaming',
  isReady: false,
  async * reply () { throw failure('BOT_NOT_CONFIGURED', new Error('the settings name code that does not exist')) }
}

const only = { additionalProperties: false }

/** Creates the engines. */
export function createEngines (config: CallConfig & OpenAiConfig & FencedConfig): Engines {
  const call = createCall(config)
  const openAi = onDemand(async () => (await import('./openai.ts')).createOpenAi(config, call))
  const webhook = onDemand(async () => (await import('./webhook.ts')).createWebhook(config, call))
  const agUi = onDemand(async () => (await import('./ag-ui.ts')).createAgUi(config, call))
  if (config.OPENAI_API_KEY !== undefined) openAi.load() // or the first reply would wait for it

  return {
    simulated: {
      settings: Type.Object({ bot: Type.Optional(Type.Enum(Object.keys(inCode))), ...common }, only),
      createBot: ({ bot = 'simulated' }) => inCode[String(bot)] ?? missing
    },
    guided: {
      settings: Type.Object({ script: Type.Enum(Object.keys(scripts)), ...common }, only),
      createBot ({ script: name }) {
        const script = scripts[String(name)]
        return script === undefined ? missing : { kind: 'instant', answer: createGuidedBot(script) }
      }
    },
    openai: {
      settings: Type.Object({ ...OpenAiSettingsSchema.properties, ...common }, only),
      createBot: (settings, name) => streaming(async () => (await openAi.load()).createBot(settings, name), {
        isReady: config.OPENAI_API_KEY !== undefined, longestText: MAX_LONG_MESSAGE_LENGTH
      }),
      close: openAi.close
    },
    webhook: {
      settings: Type.Object({ ...WebhookSettingsSchema.properties, ...common }, only),
      createBot: settings => streaming(async () => (await webhook.load()).createBot(settings as WebhookSettings), {
        longestText: (settings as WebhookSettings).longest_text
      }),
      close: webhook.close
    },
    'ag-ui': {
      settings: Type.Object({ ...AgUiSettingsSchema.properties, ...common }, only),
      createBot: (settings, name) => streaming(async () => (await agUi.load()).createBot(settings as AgUiSettings, name), {
        longestText: MAX_LONG_MESSAGE_LENGTH
      }),
      close: agUi.close
    }
  }
}

/** Creates an engine when its first bot is used: with its libraries, an engine takes up to 10 MB of memory. */
function onDemand<T extends { close: () => Promise<void> }> (make: () => Promise<T>) {
  let made: Promise<T> | undefined
  return {
    load: async () => await (made ??= make()),
    close: async () => (await made)?.close()
  }
}

function streaming (load: () => Promise<StreamingBot>, traits: BotTraits): Bot {
  return {
    ...traits,
    kind: 'streaming',
    reply: async (turns, signal, context) => (await load())(turns, signal, context)
  }
}

/** Finds the engine of a bot and creates the bot. */
export function createDirectory (engines: Engines): Directory {
  return ({ engine, name, settings }) => engines[engine].createBot(settings, name)
}

/** The name of the bot in new conversations that name none. */
export function defaultBot ({ OPENAI_API_KEY: key }: Pick<Config, 'OPENAI_API_KEY'>) {
  return key === undefined ? 'simulated' : 'assistant'
}

/** The name of the bot that answers guests. */
export function guestBot (config: Pick<Config, 'GUEST_BOT' | 'OPENAI_API_KEY'>) {
  return config.GUEST_BOT ?? defaultBot(config)
}
