import fp from 'fastify-plugin'
import type { FastifySchema } from 'fastify'
import swagger, { type SwaggerTransform } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { TObject } from 'typebox'
import { ACCOUNT_LOCKED, CROSS_SITE, INVALID_JSON, INVALID_TEXT, MISSING_SCOPE, TOO_MANY_AT_ONCE, TOO_MANY_STREAMS, UNAUTHORIZED, UNSUPPORTED_MEDIA_TYPE, USER_NOT_FOUND } from '../errors.ts'
import { tooLarge } from './body-limits.ts'
import { tidy, codesWithStatus, type Document } from './openapi-document.ts'
import { LOGGED_IN, refuse, type Responses } from './schema.ts'

/** Errors of the body that every write may return, before its handler runs. */
const WRITE_ERRORS = [INVALID_JSON, INVALID_TEXT, UNSUPPORTED_MEDIA_TYPE]

/** Why a server key may not act for a user. */
const ACTING_ERRORS = [MISSING_SCOPE, ACCOUNT_LOCKED, USER_NOT_FOUND]

/** The content security policy of the page at /docs: everything comes from this server. Without `upgrade-insecure-requests`, so that the page works over http. */
const DOCS_CSP = { 'default-src': "'self'", 'img-src': ["'self'", 'data:'], 'base-uri': "'none'", 'frame-ancestors': "'none'" }

const ABOUT = 'The durable backend behind a chat: accounts, conversations, bots and channels over one log per conversation. ' +
  'Log in with `POST /api/login`, which sets a cookie, or send the token of `POST /login` as `Authorization: Bearer`. ' +
  'An error is `{statusCode, code, error}`: `code` never changes, `error` is a sentence for people. ' +
  'Each response lists its errors by `code`; the logins, shown by Authorize, list those that all their operations may have. ' +
  'With `PASSWORDS=off`, operations that take a password answer 403 `PASSWORDS_OFF`. ' +
  'A long answer to `GET` has an `ETag`, and answers `If-None-Match` with 304 if nothing has changed.'

/** The sections of the documentation, in the order in which somebody needs them who builds a front end. */
const TAGS = [
  { name: 'accounts', description: 'Sign up, log in and out, and recover a password.' },
  { name: 'conversations', description: 'Begin, list, rename and delete conversations.' },
  { name: 'messages', description: 'Send and read messages, and follow the replies of bots as they grow.' },
  { name: 'members', description: 'Who takes part in a conversation: people and bots.' },
  { name: 'bots', description: 'The bots that there are, and, for admins, how they are set up.' },
  { name: 'profile', description: 'Your own account: its data, its sessions and what it has cost.' },
  { name: 'chat', description: 'Chats without an account: by phone number, or as a guest of a front end that has an API key. And the routes of the AI SDK\'s `useChat` and of AG-UI, for users.' },
  { name: 'whatsapp', description: 'The webhook that Meta calls.' },
  { name: 'servers', description: 'For servers with a key: their users, and tokens for these users.' },
  { name: 'admin', description: 'For admins: users, invitations, deliveries, costs and the log of what admins did.' },
  { name: 'operation', description: 'For those who run the server: whether it works, and its metrics.' }
]

/** The API's own description, made from the routes' schemas: for programs at /openapi.json, for people at /docs. */
export const openapi = fp<{ cookieName: string }>(async function openapi (app, { cookieName }) {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Parley', version: '1', description: ABOUT, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/', description: 'This server' }],
      tags: TAGS,
      security: LOGGED_IN,
      components: {
        securitySchemes: {
          cookie: { type: 'apiKey', in: 'cookie', name: cookieName, description: `With a cookie, every operation that writes may have this error, too: ${listed([CROSS_SITE])}` },
          bearer: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: `A token, a key of your own, or a server key that acts for a user by the header \`X-Act-As\`. Without a login, or with one that has ended, every operation that needs one answers ${listed([UNAUTHORIZED])}. ` +
              `With a server key, every operation may have these errors, too: ${listed(ACTING_ERRORS)}`
          },
          key: { type: 'http', scheme: 'bearer', description: 'A server key, which begins with pk_' }
        }
      }
    },
    transform: asClientsSeeIt,
    transformObject: described => tidy((described as unknown as { openapiObject: Document }).openapiObject) as never
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_CSP, theme: { title: 'Parley API' } })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
})

/** Completes a route's schema: values with a default are optional, and every write may return `WRITE_ERRORS`. The login that most routes need is the document's default. */
const asClientsSeeIt: SwaggerTransform<FastifySchema> = function asClientsSeeIt ({ schema, url, route }) {
  const { body, querystring, response, security } = schema as { body?: TObject, querystring?: TObject, response?: Responses, security?: FastifySchema['security'] }
  const isWrite = ![route.method].flat().includes('GET')
  return {
    url: url.replace(/(.)\/$/, '$1'),
    schema: {
      ...schema,
      security: security === LOGGED_IN ? undefined : security ?? [],
      body: body && withoutDefaults(body),
      querystring: querystring && withoutDefaults(querystring),
      response: response && refuse(response, [
        ...isWrite ? [...WRITE_ERRORS, tooLarge(route.bodyLimit)] : [],
        ...security === LOGGED_IN ? [TOO_MANY_AT_ONCE] : isWrite ? [CROSS_SITE] : [],
        ...route.config?.stream ? [TOO_MANY_STREAMS] : []
      ], response[400])
    }
  }
}

/** Errors that are listed once, at a login, and not at each operation. */
function listed (failures: Parameters<typeof refuse>[1]) {
  return Object.entries(refuse({}, failures)).map(([status, { description }]) => codesWithStatus(status, description!)).join('; ')
}

function withoutDefaults (schema: TObject) {
  return { ...schema, required: schema.required?.filter(name => !('default' in schema.properties[name]!)) }
}
