import { Type, type Static } from 'typebox'
import { Id, Nullable, Text, Timestamp } from '../http/schema.js'

/** 3 to 64 code points that can be seen: no control, format or line separating characters. */
const Username = Type.String({ ...Text(64, 3), pattern: '^[^\\p{C}\\p{Zl}\\p{Zp}]*$' })

/** 8 to 128 code points, any of them. */
const Password = Type.String({ minLength: 8, maxLength: 128 })

export const NewAccountSchema = Type.Object({
  username: Username,
  password: Password,
  name: Type.Optional(Text(100)),
  email: Type.Optional(Type.String({ ...Text(254, 3), pattern: '^[^@\\s]+@[^@\\s]+$' }))
})
export type NewAccount = Static<typeof NewAccountSchema>

/** As typed: whoever mistypes is told that it does not match, not why. */
export const CredentialsSchema = Type.Object({
  username: Type.String({ 'x-trimmed': true }),
  password: Type.String()
})

const UserSchema = Type.Object({ id: Id, username: Type.String() })

export const WelcomeSchema = Type.Object({ message: Type.String(), user: UserSchema })

export const ProfileSchema = Type.Object({
  id: Id,
  username: Nullable(Type.String()),
  name: Nullable(Type.String()),
  email: Nullable(Type.String()),
  phone_number: Nullable(Type.String()),
  is_guest: Type.Boolean(),
  role: Type.Enum(['user', 'admin']),
  created_at: Timestamp
})
