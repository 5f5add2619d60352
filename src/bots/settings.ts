import { Type, type Static } from 'typebox'
import { MAX_LONG_MESSAGE_LENGTH, MAX_MESSAGE_LENGTH } from '../text/text.ts'

// What may be set of bots, apart from the engines that run them, which bring large libraries.

export const OpenAiSettingsSchema = Type.Object({
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Left out: OPENAI_MODEL' })),
  prompt: Type.Optional(Type.String({ minLength: 1, maxLength: 32_000, 'x-trimmed': true, description: 'Who the bot is and what it is to do' })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2, description: 'Left out: the model\'s own' })),
  max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Of an answer, at most. Left out: as many as the model likes' })),
  history_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_000_000, description: 'How much of the history the model gets. Left out: 8000' }))
}, { title: 'OpenAiSettings' })
export type OpenAiSettings = Static<typeof OpenAiSettingsSchema>

const BotUrl = Type.String({
  title: 'BotUrl',
  pattern: /^https?:\/\/[^/?#@\s]+([/?][^#\s]*)?$/.source,
  'x-rule': 'must be an http or https address without a user name, a password or a fragment',
  maxLength: 2000,
  description: 'Where the turns are posted to'
})

export const WebhookSettingsSchema = Type.Object({
  url: BotUrl,
  secret: Type.String({ minLength: 16, maxLength: 1000, writeOnly: true, description: 'Signs what is posted; never shown again' }),
  longest_text: Type.Optional(Type.Integer({ minimum: MAX_MESSAGE_LENGTH, maximum: MAX_LONG_MESSAGE_LENGTH, description: `The longest message, in characters. Left out: ${MAX_MESSAGE_LENGTH}` }))
}, { title: 'WebhookSettings' })
export type WebhookSettings = Static<typeof WebhookSettingsSchema>

export const AgUiSettingsSchema = Type.Object({
  url: BotUrl,
  headers: Type.Optional(Type.Record(Type.String(), Type.String({
    maxLength: 4000, pattern: /^[\x20-\x7e]*$/.source, 'x-rule': 'may contain only printable ASCII characters'
  }), {
    propertyNames: { pattern: /^[A-Za-z0-9-]{1,100}$/.source }, maxProperties: 20, writeOnly: true, description: 'Such as `Authorization`; never shown again'
  }))
}, { title: 'AgUiSettings' })
export type AgUiSettings = Static<typeof AgUiSettingsSchema>
