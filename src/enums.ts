// The values of the enumerations that the database, the schemas of the API and the types share. A value that is added here
// needs a migration (`npm run db:generate -- --name …`).

/** The channel through which a user or a conversation came. */
export const ORIGINS = ['web', 'api', 'phone', 'whatsapp'] as const
export type Origin = typeof ORIGINS[number]

/** The channels whose people are known only by an address and have no account. `is_contact_origin` is the same list in SQL. */
export const CONTACT_ORIGINS = ['phone', 'whatsapp'] as const satisfies Origin[]
export type ContactOrigin = typeof CONTACT_ORIGINS[number]

export const ROLES = ['user', 'admin'] as const

/** How a session was begun; `issuer`: by a token of another issuer; `server_key`: by a server that acts for the user. */
export const SESSION_KINDS = ['cookie', 'access_token', 'guest', 'issuer', 'server_key', 'personal_key'] as const

/** What a server key may do. */
export const KEY_SCOPES = ['users', 'act', 'read', 'guests', 'v1'] as const
export type KeyScope = typeof KEY_SCOPES[number]

/** What makes the replies of a bot. */
export const ENGINES = ['simulated', 'guided', 'openai', 'webhook', 'ag-ui'] as const
export type EngineName = typeof ENGINES[number]

/** What happens to a message that comes while a reply is growing. */
export const WHEN_BUSY = ['queue', 'interrupt', 'reject'] as const

export const SENDERS = ['user', 'bot'] as const

export const MESSAGE_STATUSES = ['complete', 'queued', 'streaming', 'stopped', 'interrupted', 'failed', 'deleted'] as const

/** The states of a message that goes out through WhatsApp. */
export const DELIVERY_STATES = ['queued', 'sent', 'delivered', 'read', 'failed', 'window_closed'] as const
