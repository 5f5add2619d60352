import { Type } from 'typebox'
import type { BotRow, EngineName, Engines } from '../bots/bot.js'
import { Id } from '../http/schema.js'

/** As it may stand behind an @. */
const Name = Type.String({ pattern: '^[\\w-]{1,64}$' })
const Settings = Type.Record(Type.String(), Type.Unknown())

export const BotSchema = Type.Object({ id: Id, name: Type.String(), engine: Type.String(), settings: Settings })

/** Settings take the place of those before. What they are depends on the engine, which stays. */
export const BotChangesSchema = Type.Object({ name: Type.Optional(Name), settings: Type.Optional(Settings) })

/** A bot whose settings are those of its engine. */
export function newBotSchema (engines: Engines) {
  const names = Object.keys(engines) as EngineName[]
  return Type.Object({
    name: Name,
    engine: Type.Enum(names),
    settings: Settings
  }, {
    allOf: names.map(name => ({
      if: { properties: { engine: { const: name } }, required: ['engine'] },
      then: { properties: { settings: engines[name].settings } }
    }))
  })
}

/** What nobody may see again once it was set: what the engine's settings call `writeOnly`. */
export function secretsOf (engines: Engines, { engine, settings }: BotRow): BotRow['settings'] {
  const { properties } = engines[engine].settings as { properties: Record<string, { writeOnly?: boolean }> }
  return Object.fromEntries(Object.entries(settings).filter(([name]) => properties[name]?.writeOnly))
}

/** A bot as an admin sees it. */
export function withoutSecrets (engines: Engines, bot: BotRow): BotRow {
  const secrets = secretsOf(engines, bot)
  return { ...bot, settings: Object.fromEntries(Object.entries(bot.settings).filter(([name]) => !(name in secrets))) }
}
