import { Type, type Static } from 'typebox'
import { ORIGINS, ROLES } from '../enums.ts'
import { Id, Nullable, PageQuery, Text, Timestamp } from '../http/schema.ts'
import { ADMIN_ACTIONS } from './admin-log-store.ts'
import { NewAccountSchema, Password } from './schema.ts'

/** The largest value of the column `budget_tokens`. */
const MAX_TOKENS = 2 ** 31 - 1

const Budget = Type.Integer({
  title: 'Budget',
  minimum: 0,
  maximum: MAX_TOKENS,
  description: 'Tokens a day (UTC) for this user; 0 for none, null for the default of the settings'
})

export const AdminUserSchema = Type.Object({
  id: Id,
  username: Nullable(Type.String()),
  name: Nullable(Type.String()),
  email: Nullable(Type.String()),
  is_email_verified: Type.Boolean(),
  phone_number: Nullable(Type.String()),
  origin: Type.Enum(ORIGINS),
  role: Type.Enum(ROLES),
  is_guest: Type.Boolean(),
  is_locked: Type.Boolean(),
  locked_at: Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' }),
  budget: Nullable(Budget),
  created_at: Timestamp,
  last_login_at: Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time' })
}, { title: 'AdminUser' })

export const OneUserSchema = Type.Object({
  ...AdminUserSchema.properties,
  tokens_today: Type.Integer({ minimum: 0, description: 'Tokens that replies to this user have used today (UTC)' })
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
  password: Type.Optional(Type.String({ description: 'The generated password, if none was given. It is shown only here' }))
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
  expires_in: Type.Integer({ minimum: 60, maximum: 30 * 24 * 60 * 60, default: 7 * 24 * 60 * 60, description: 'Seconds until it expires; 7 days by default' })
}, { title: 'NewInvitation' })

export const MadeInvitationSchema = Type.Object({
  id: Id,
  link: Type.String({ description: 'A link to the page to sign up. It is shown only here' }),
  token: Type.String({ description: 'The `invitation` to sign up with. It is shown only here' }),
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
  admin_id: Type.Integer({ minimum: 0, description: '0 for a command on the server itself, an issuer of tokens or a server key. `admin_name` is the name of the issuer or key, and `details.key` the id of the key' }),
  admin_name: Nullable(Type.String({ description: 'The admin’s username at that time' })),
  action: Type.String(),
  user_id: Nullable(Type.Integer({ ...Id, description: 'The user who was affected' })),
  details: Type.Object({}, { additionalProperties: true })
}, { title: 'AdminLogEntry' }))
