import { Type, type Static } from 'typebox'
import { MAX_LONG_MESSAGE_LENGTH, MAX_MESSAGE_LENGTH } from '../text/text.ts'

// What may be set of bots, apart from the engines that run them, which bring large libraries.

export const OpenAiSettingsSchema = Type.Object({
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Left out: OPENAI_MODEL' })),
  prompt: Type.Optional(Type.String({ minLength: 1, maxLength: 32_000, 'x-trimmed': true, description: 'Who the bot is and what it is to do' })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2, description: 'Left out: the model\'s own' })),
  max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Of an answer, at most. Left out: as many as the model likes' })),
  history_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_000_000, description: 'How much of what was said the model gets to see. Left out: 8000' }))
}, { title: 'OpenAiSettings' })
export type OpenAiSettings = Static<typeof OpenAiSettingsSchema>

export const WebhookSettingsSchema = Type.Object({
  url: Type.String({
    pattern: /^https?:\/\/[^/?#@\s]+([/?][^#\s]*)?$/.source,
    'x-rule': 'must be an http or https address without a user name, a password or a fragment',
    maxLength: 2000,
    description: 'Where the turns are posted to'
  }),
  secret: Type.String({ minLength: 16, maxLength: 1000, writeOnly: true, description: 'Signs what is posted; nobody gets to see it again' }),
  longest_text: Type.Optional(Type.Integer({ minimum: MAX_MESSAGE_LENGTH, maximum: MAX_LONG_MESSAGE_LENGTH, description: `The longest message, in characters, that a user may send to the bot. Left out: ${MAX_MESSAGE_LENGTH}` }))
}, { title: 'WebhookSettings' })
export type WebhookSettings = Static<typeof WebhookSettingsSchema>
