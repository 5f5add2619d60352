import { Type, type Static } from 'typebox'
import { Id, Nullable, PageQuery, Text, Timestamp } from '../http/schema.ts'
import { ADMIN_ACTIONS } from './admin-log-store.ts'
import { NewAccountSchema, Password } from './schema.ts'

/** What `budget_tokens` can hold. */
const MAX_TOKENS = 2 ** 31 - 1

const Budget = Type.Integer({
  minimum: 0, maximum: MAX_TOKENS, description: 'Tokens a day (UTC) for this user; 0: none at all; null: as the settings say'
})

export const AdminUserSchema = Type.Object({
  id: Id,
  username: Nullable(Type.String()),
  name: Nullable(Type.String()),
  email: Nullable(Type.String()),
  is_email_verified: Type.Boolean(),
  phone_number: Nullable(Type.String()),
  origin: Type.Enum(['web', 'api', 'phone', 'whatsapp']),
  role: Type.Enum(['user', 'admin']),
  is_guest: Type.Boolean(),
  is_locked: Type.Boolean(),
  locked_at: Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' }),
  budget: Nullable(Budget),
  created_at: Timestamp,
  last_login_at: Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' })
}, { title: 'AdminUser' })

export const OneUserSchema = Type.Object({
  ...AdminUserSchema.properties,
  tokens_today: Type.Integer({ minimum: 0, description: 'Tokens that replies to this user have cost today (UTC)' })
}, { title: 'OneUser' })

export const UsersQuery = Type.Object({
  limit: PageQuery.properties.limit,
  before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the user with this id' })),
  q: Type.Optional(Type.String({ ...Text(100), pattern: /^\P{C}*$/u.source, 'x-rule': 'may contain only visible characters', description: 'Part of a username, name or e-mail address, in any case' }))
})

export const NewUserSchema = Type.Object({
  username: NewAccountSchema.properties.username,
  password: Type.Optional(Password),
  name: NewAccountSchema.properties.name,
  email: NewAccountSchema.properties.email
}, { title: 'NewUser' })

export const UserChangesSchema = Type.Object({ is_locked: Type.Optional(Type.Boolean()), budget: Type.Optional(Nullable(Budget)) }, { title: 'UserChanges' })
export type UserChanges = Static<typeof UserChangesSchema>

export const MadeUserSchema = Type.Object({
  id: Id,
  username: Type.String(),
  password: Type.Optional(Type.String({ description: 'Made here, where none was given; shown this once' }))
}, { title: 'MadeUser' })

const InvitationSchema = Type.Object({
  id: Id,
  created_by: Nullable(Type.Integer({ ...Id, description: 'The admin who made it' })),
  created_at: Timestamp,
  expires_at: Timestamp,
  used_at: Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' }),
  used_by: Nullable(Id)
}, { title: 'Invitation' })
export const InvitationsSchema = Type.Array(InvitationSchema)

export const NewInvitationSchema = Type.Object({
  expires_in: Type.Integer({ minimum: 60, maximum: 30 * 24 * 60 * 60, default: 7 * 24 * 60 * 60, description: 'Seconds until it ends; 7 days where it is left out' })
}, { title: 'NewInvitation' })

export const MadeInvitationSchema = Type.Object({
  id: Id,
  link: Type.String({ description: 'Opens the page to sign up with it; shown this once' }),
  token: Type.String({ description: 'The `invitation` to sign up with; shown this once' }),
  expires_at: Timestamp
}, { title: 'MadeInvitation' })

export const InvitationsQuery = Type.Object({
  limit: PageQuery.properties.limit,
  before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the invitation with this id' }))
})

export const AdminLogQuery = Type.Object({
  limit: PageQuery.properties.limit,
  before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the entry with this id' })),
  admin: Type.Optional(Type.Integer({ ...Id, description: 'What this admin did' })),
  user: Type.Optional(Type.Integer({ ...Id, description: 'What was done to this user' })),
  action: Type.Optional(Type.Enum([...ADMIN_ACTIONS]))
})

export const AdminLogSchema = Type.Array(Type.Object({
  id: Id,
  created_at: Timestamp,
  admin_id: Type.Integer({ minimum: 0, description: '0: a command on the server itself, or an issuer of tokens, whose name is `admin_name`' }),
  admin_name: Nullable(Type.String({ description: 'The admin’s username at that time' })),
  action: Type.String(),
  user_id: Nullable(Type.Integer({ ...Id, description: 'Whom it was done to' })),
  details: Type.Object({}, { additionalProperties: true })
}, { title: 'AdminLogEntry' }))
