import { Type, type Static } from 'typebox'
import { ROLES, SESSION_KINDS } from '../enums.ts'
import { Id, Metadata, Nullable, Text, Timestamp } from '../http/schema.ts'
import { MAX_NAME_LENGTH } from '../text/text.ts'

/**
 * A username at login may be longer than any account's: then it simply does not match. It must still have a limit, because
 * NFKC takes quadratic time: 0.4 ms for 1,000 combining marks, and 0.5 s for 32,000.
 */
const MAX_TYPED_LENGTH = 1000

/** How long a token may be: several times as long as those that this server signs, since those of some issuers have a few KiB. */
export const MAX_TOKEN_LENGTH = 8192

/** 3 to 64 visible code points: no control or format characters, and no line separators. */
export const Username = Type.String({
  ...Text(64, 3), pattern: /^[^\p{C}\p{Zl}\p{Zp}]*$/u.source, 'x-rule': 'may contain only visible characters'
})

/** 8 to 128 code points, any of them. */
export const Password = Type.String({ minLength: 8, maxLength: 128 })

/** A password to check. It has no minimum length, since it may be wrong. */
const TypedPassword = Type.String({ maxLength: MAX_TYPED_LENGTH })

/** An address without characters that could add further addresses or headers to a mail. */
export const Email = Type.String({
  ...Text(254, 3),
  title: 'Email',
  pattern: /^[^@\s\\<>(),;:"[\]]+@[^@\s\\<>(),;:"[\]]+$/.source,
  'x-rule': 'must be an e-mail address such as ann@example.com'
})

/** A name without control characters, line breaks and marks that reverse the text after them, as `nameIn` removes them. Joiners, as in emoji and some scripts, are allowed. */
export const Name = Type.String({
  ...Text(MAX_NAME_LENGTH),
  pattern: /^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]*$/u.source,
  'x-rule': 'may not contain control characters, line breaks or marks that reorder text'
})

/** A phone number as typed; `readPhoneNumber` checks it. */
const PhoneNumber = Text(40, 3)
const Invitation = Type.String({ maxLength: 100, description: 'The part of an invitation\'s link after `=`, if SIGNUP is `invite`' })

export const NewAccountSchema = Type.Object({
  username: Username,
  password: Password,
  name: Type.Optional(Name),
  email: Type.Optional(Email),
  invitation: Type.Optional(Invitation)
}, { title: 'NewAccount' })
export type NewAccount = Static<typeof NewAccountSchema>

/** Credentials as typed. Any mistake gets INVALID_CREDENTIALS, without the reason. */
export const CredentialsSchema = Type.Object({
  username: Type.String({ 'x-trimmed': true, maxLength: MAX_TYPED_LENGTH }),
  password: TypedPassword
}, { title: 'Credentials' })

const UserSchema = Type.Object({ id: Id, username: Type.String() }, { title: 'User' })

export const WelcomeSchema = Type.Object({ message: Type.String(), user: UserSchema }, { title: 'Welcome' })

/** The legacy names: `id` is the username (a JSON number is taken as its digits), `passcode` the password. */
const orDigits = (schema: object) => Type.Unsafe<string>({ ...schema, type: ['string', 'number'] })
export const NewPasscodeSchema = Type.Object({ id: orDigits(Username), passcode: Password, invitation: Type.Optional(Invitation) }, { title: 'NewPasscode' })
export const PasscodeSchema = Type.Object({ id: orDigits(CredentialsSchema.properties.username), passcode: TypedPassword }, { title: 'Passcode' })

/** Fields to change; null removes a value. A new e-mail address, username or password needs the current password. */
export const ProfileChangesSchema = Type.Object({
  name: Type.Optional(Nullable(Name)),
  phone_number: Type.Optional(Nullable(PhoneNumber)),
  email: Type.Optional(Nullable({ ...Email, title: 'NewEmail' })),
  username: Type.Optional(Username),
  password: Type.Optional(Password),
  current_password: Type.Optional(TypedPassword)
}, { title: 'ProfileChanges' })
export type ProfileChanges = Static<typeof ProfileChangesSchema>

export const PasswordSchema = Type.Object({ password: TypedPassword }, { title: 'Password' })

export const ProfileSchema = Type.Object({
  id: Id,
  username: Nullable(Type.String()),
  name: Nullable(Type.String()),
  picture: Nullable(Type.String({ description: 'The address of an image' })),
  issuer: Nullable(Type.String({ description: 'The other issuer of tokens that the user comes from; empty for a user of a server key' })),
  external_id: Nullable(Type.String({ description: 'The user’s id there: the `sub` of the tokens, or the id that a server key gave' })),
  email: Nullable(Type.String()),
  is_email_verified: Type.Boolean(),
  phone_number: Nullable(Type.String()),
  metadata: Metadata,
  is_guest: Type.Boolean(),
  role: Type.Enum(ROLES),
  created_at: Timestamp
}, { title: 'Profile' })
export type Profile = Static<typeof ProfileSchema>

export const SessionSchema = Type.Object({
  id: Id,
  kind: Type.Enum(SESSION_KINDS, { description: '`issuer`: by tokens of another issuer; `server_key`: a server acts for the user; `personal_key`: a key for scripts' }),
  user_agent: Nullable(Type.String({ description: 'The User-Agent header of the login; for `server_key` and `personal_key`, the name of the key' })),
  ip: Nullable(Type.String()),
  created_at: Timestamp,
  last_used_at: Timestamp,
  expires_at: Timestamp,
  is_current: Type.Boolean({ description: 'Whether it is the session of this request' })
}, { title: 'Session' })
