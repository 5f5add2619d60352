import { Type, type Static } from 'typebox'
import { Id, Nullable, Text, Timestamp } from '../http/schema.js'

/** 3 to 64 code points that can be seen: no control, format or line separating characters. */
const Username = Type.String({ ...Text(64, 3), pattern: '^[^\\p{C}\\p{Zl}\\p{Zp}]*$' })

/** 8 to 128 code points, any of them. */
export const Password = Type.String({ minLength: 8, maxLength: 128 })

/** With none of the characters by which a mail's header would be another one, or several. */
export const Email = Type.String({ ...Text(254, 3), pattern: '^[^@\\s\\\\<>(),;:"[\\]]+@[^@\\s\\\\<>(),;:"[\\]]+$' })

const Name = Text(100)
const PhoneNumber = Type.String({ ...Text(40, 3), pattern: '^\\+?[\\d\\s.()-]+$' })

export const NewAccountSchema = Type.Object({
  username: Username,
  password: Password,
  name: Type.Optional(Name),
  email: Type.Optional(Email)
})
export type NewAccount = Static<typeof NewAccountSchema>

/** As typed: whoever mistypes is told that it does not match, not why. */
export const CredentialsSchema = Type.Object({
  username: Type.String({ 'x-trimmed': true }),
  password: Type.String()
})

const UserSchema = Type.Object({ id: Id, username: Type.String() })

export const WelcomeSchema = Type.Object({ message: Type.String(), user: UserSchema })

/** Seed 003's words for the same: `id` is the username, a number is taken as its digits; `passcode` the password. */
const orDigits = (schema: object) => Type.Unsafe<string>({ ...schema, type: ['string', 'number'] })
export const NewPasscodeSchema = Type.Object({ id: orDigits(Username), passcode: Password })
export const PasscodeSchema = Type.Object({ id: orDigits(CredentialsSchema.properties.username), passcode: Type.String() })

/** What may change; null takes it away. A new e-mail address, username or password needs the current password. */
export const ProfileChangesSchema = Type.Object({
  name: Type.Optional(Nullable(Name)),
  phone_number: Type.Optional(Nullable(PhoneNumber)),
  email: Type.Optional(Nullable(Email)),
  username: Type.Optional(Username),
  password: Type.Optional(Password),
  current_password: Type.Optional(Type.String())
})
export type ProfileChanges = Static<typeof ProfileChangesSchema>

export const PasswordSchema = Type.Object({ password: Type.String() })

export const ProfileSchema = Type.Object({
  id: Id,
  username: Nullable(Type.String()),
  name: Nullable(Type.String()),
  email: Nullable(Type.String()),
  is_email_verified: Type.Boolean(),
  phone_number: Nullable(Type.String()),
  is_guest: Type.Boolean(),
  role: Type.Enum(['user', 'admin']),
  created_at: Timestamp
})
export type Profile = Static<typeof ProfileSchema>

export const SessionSchema = Type.Object({
  id: Id,
  kind: Type.Enum(['cookie', 'access_token', 'guest']),
  user_agent: Nullable(Type.String({ description: 'The device, as it calls itself' })),
  ip: Nullable(Type.String()),
  created_at: Timestamp,
  last_used_at: Timestamp,
  expires_at: Timestamp,
  is_current: Type.Boolean({ description: 'Whether it is the one that asks' })
})
