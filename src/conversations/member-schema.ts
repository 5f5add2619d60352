import { Type } from 'typebox'
import { Id, PageQuery, Timestamp } from '../http/schema.js'

/** Those who are in a conversation, users and bots, and how they are named when they are asked in. */

export const UserSchema = Type.Object({ id: Id, username: Type.String() })
export const UserNameSchema = Type.Object({ username: Type.String({ 'x-trimmed': true, maxLength: 1000 }) })

export const MemberSchema = Type.Object({ ...UserSchema.properties, is_owner: Type.Boolean(), joined_at: Timestamp })

export const BotTitleSchema = Type.Object({ id: Id, name: Type.String() })
export const BotNameSchema = Type.Object({ name: Type.String({ maxLength: 1000 }) })

/** A list that is sorted by id. */
export const AfterIdQuery = Type.Object({
  limit: PageQuery.properties.limit,
  after: Type.Optional(Type.Integer({ ...Id, description: 'The page that begins after this id' }))
})

export const UserParams = Type.Object({ id: Id, user: Id })
export const BotParams = Type.Object({ id: Id, bot: Id })
