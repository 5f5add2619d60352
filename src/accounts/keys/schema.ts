import { Type, type Static } from 'typebox'
import { KEY_SCOPES } from '../../enums.ts'
import { Id, Metadata, Nullable, PageQuery, Text, Timestamp } from '../../http/schema.ts'
import { Email, Name } from '../schema.ts'

const Scopes = Type.Array(Type.Enum(KEY_SCOPES), {
  title: 'KeyScopes',
  minItems: 1,
  maxItems: KEY_SCOPES.length,
  uniqueItems: true,
  description: '`users`: manage users and mint tokens for them. `act`: act for a user with `X-Act-As`. `read`: read users, and act for one in `GET` requests. ' +
    '`guests`: let guests in, as `X-API-KEY`. `v1`: OpenAI\'s API'
})

const expiresAt = (otherwise: string) => Type.Optional(Type.String({
  maxLength: 40,
  format: 'date-time',
  pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.source,
  'x-rule': 'must be a time in UTC, such as 2027-01-01T00:00:00Z',
  description: `When the key expires. Left out: ${otherwise}`
}))

export const NewKeySchema = Type.Object({ name: Text(100), scopes: Scopes, expires_at: expiresAt('never') }, { title: 'NewKey' })
export type NewKey = Static<typeof NewKeySchema>

const NullableTime = Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' })

export const KeySchema = Type.Object({
  id: Id,
  name: Type.String(),
  scopes: Scopes,
  created_by: Nullable(Type.Integer({ ...Id, description: 'The admin who made it' })),
  created_at: Timestamp,
  expires_at: NullableTime,
  last_used_at: NullableTime,
  revoked_at: NullableTime
}, { title: 'Key' })

export const MadeKeySchema = Type.Object({ ...KeySchema.properties, key: Type.String({ description: 'For `Authorization: Bearer`. It is shown only here' }) }, { title: 'MadeKey' })

export const NewPersonalKeySchema = Type.Object({ name: Text(100), expires_at: expiresAt('after a year') }, { title: 'NewPersonalKey' })

export const PersonalKeySchema = Type.Object({
  id: Id,
  name: Nullable(Type.String()),
  created_at: Timestamp,
  last_used_at: Timestamp,
  expires_at: Timestamp
}, { title: 'PersonalKey' })

export const MadePersonalKeySchema = Type.Object({ ...PersonalKeySchema.properties, key: MadeKeySchema.properties.key }, { title: 'MadePersonalKey' })

export const KeysQuery = Type.Object({
  limit: PageQuery.properties.limit,
  before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the key with this id' }))
})

/** The user's id in the app of the server. It must fit into a header. */
const ExternalId = Type.String({ minLength: 1, maxLength: 255, pattern: /^[\x21-\x7e]*$/.source, 'x-rule': 'may contain only printable ASCII characters without spaces' })

export const ExternalUserParams = Type.Object({ external_id: ExternalId })

export const ExternalUserChangesSchema = Type.Object({
  name: Type.Optional(Name),
  email: Type.Optional(Email),
  picture: Type.Optional(Type.String({ maxLength: 900, pattern: /^https?:\/\/[^\s\p{C}]+$/u.source, 'x-rule': 'must be a web address' })),
  metadata: Type.Optional(Metadata)
}, { title: 'ExternalUserChanges' })
export type ExternalUserChanges = Static<typeof ExternalUserChangesSchema>

export const ExternalUserSchema = Type.Object({
  external_id: Type.String(),
  id: Id,
  name: Nullable(Type.String()),
  email: Nullable(Type.String({ description: 'Null also if another account has verified the address' })),
  picture: Nullable(Type.String()),
  metadata: Metadata,
  is_locked: Type.Boolean(),
  created_at: Timestamp
}, { title: 'ExternalUser' })

export const NewTokenSchema = Type.Object({
  expires_in: Type.Integer({ minimum: 60, maximum: 24 * 60 * 60, default: 60 * 60, description: 'Lifetime in seconds' })
}, { title: 'NewToken' })

export const MintedTokenSchema = Type.Object({ token: Type.String({ description: 'For `Authorization: Bearer`, sockets and event streams' }), expires_at: Timestamp }, { title: 'MintedToken' })
