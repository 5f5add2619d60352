import { Type } from 'typebox'
import type { BotRow, Engines } from '../../bots/bot.ts'
import type { EngineName } from '../../enums.ts'
import { Id } from '../../http/schema.ts'

/** A name that can be mentioned as `@name`. */
export const BotHandle = Type.String({
  title: 'BotHandle', minLength: 1, maxLength: 64, pattern: /^[\w-]*$/.source, 'x-rule': 'may contain only letters from a to z, digits, _ and -'
})
const Settings = Type.Record(Type.String(), Type.Unknown())

export const BotSchema = Type.Object({ id: Id, name: Type.String(), engine: Type.String(), settings: Settings }, { title: 'Bot' })

/** New settings replace the old ones. Their schema depends on the engine, which cannot be changed. */
export const BotChangesSchema = Type.Object({ name: Type.Optional(BotHandle), settings: Type.Optional(Settings) }, { title: 'BotChanges' })

/** A new bot, with settings as its engine defines them. */
export function newBotSchema (engines: Engines) {
  const names = Object.keys(engines) as EngineName[]
  return Type.Object({
    name: BotHandle,
    engine: Type.Enum(names),
    settings: Settings
  }, {
    title: 'NewBot',
    allOf: names.map(name => ({
      if: { properties: { engine: { const: name } }, required: ['engine'] },
      then: { properties: { name: BotHandle, engine: Type.Enum([name]), settings: engines[name].settings } }
    }))
  })
}

/** The settings that the API never returns: those that the engine's schema marks as `writeOnly`. */
export function secretsOf (engines: Engines, { engine, settings }: BotRow): BotRow['settings'] {
  const { properties } = engines[engine].settings as { properties: Record<string, { writeOnly?: boolean }> }
  return Object.fromEntries(Object.entries(settings).filter(([name]) => properties[name]?.writeOnly))
}

/** A bot as an admin sees it. */
export function withoutSecrets (engines: Engines, bot: BotRow): BotRow {
  const secrets = secretsOf(engines, bot)
  return { ...bot, settings: Object.fromEntries(Object.entries(bot.settings).filter(([name]) => !(name in secrets))) }
}
