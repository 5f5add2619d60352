import { Type } from 'typebox'
import { Id, Nullable, PageQuery, Rev, Timestamp } from '../../http/schema.ts'

/** The members of a conversation, users and bots, and the bodies that add them. */

export const UserSchema = Type.Object({ id: Id, username: Type.String() }, { title: 'User' })
export const UserNameSchema = Type.Object({ username: Type.String({ 'x-trimmed': true, maxLength: 64 }) }, { title: 'UserName' })

export const MemberSchema = Type.Object({ id: Id, username: Nullable(Type.String({ description: 'The username or, without one, the name' })), is_owner: Type.Boolean(), joined_at: Timestamp, read_rev: Rev }, { title: 'Member' })

export const BotTitleSchema = Type.Object({
  id: Id,
  name: Type.String(),
  description: Nullable(Type.String({ description: 'What the bot is for, where an admin has said so' })),
  streaming: Type.Boolean({ description: 'Whether its replies stream, and can be stopped and generated again' }),
  is_default: Type.Boolean({ description: 'Whether it is in a conversation that is begun without naming bots' }),
  is_ready: Type.Boolean({ description: 'Whether it can reply; a language model without an API key cannot' })
}, { title: 'BotTitle' })
export const BotNameSchema = Type.Object({ name: Type.String({ maxLength: 64 }) }, { title: 'BotName' })

/** A list that is sorted by id. */
export const AfterIdQuery = Type.Object({
  limit: PageQuery.properties.limit,
  after: Type.Optional(Type.Integer({ ...Id, description: 'The page that begins after this id' }))
})

export const UserParams = Type.Object({ id: Id, user: Id })
export const BotParams = Type.Object({ id: Id, bot: Id })
