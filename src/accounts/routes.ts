import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  ACCOUNT_LOCKED, CROSS_SITE, INVALID_CREDENTIALS, INVALID_INVITATION, INVALID_PASSWORD, INVALID_TOKEN, INVALID_USERNAME, INVITATION_REQUIRED,
  SIGNUP_CLOSED, USERNAME_TAKEN
} from '../errors.ts'
import type { Config } from '../config.ts'
import { answers, MessageOnlySchema, Nullable } from '../http/schema.ts'
import { keyOf } from '../text/username.ts'
import { CredentialsSchema, NewAccountSchema, WelcomeSchema } from './schema.ts'
import type { SignIn } from './sign-in.ts'

export const accountRoutes: FastifyPluginAsyncTypebox<{ config: Config, signIn: SignIn }> =
  async function accountRoutes (app, { config, signIn }) {
    const settings = settingsOf(config)

    app.post('/signup', SignUp, async (request, reply) => {
      const { body, bearer } = request
      const guest = await app.userOf(bearer, request)
      const user = await signIn.signUp(body, guest?.isGuest ? guest.id : undefined)
      return reply.code(201).send({ message: 'User created successfully', user })
    })

    app.get('/settings', Settings, async () => settings)

    app.post('/login', LogIn, async (request, reply) => {
      const { username, password } = request.body
      await request.limitBy('account', keyOf(username))
      const { user, provedHash } = await signIn.logIn(username, password)
      await reply.logIn(user.id, provedHash)
      return { message: 'Login successful', user }
    })

    for (const method of ['POST', 'GET'] as const) {
      app.route({
        method,
        url: '/logout',
        ...LogOut,
        schema: { ...LogOut.schema, operationId: method === 'POST' ? 'logOut' : 'logOutByGet' },
        async handler (_request, reply) {
          await reply.logOut()
          return { message: 'Logged out successfully' }
        }
      })
    }
  }

function settingsOf ({ SIGNUP, PASSWORDS, OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_NAME }: Config) {
  const passwords = PASSWORDS === 'on'
  return { signup: passwords ? SIGNUP : 'closed', passwords, oidc: OIDC_ISSUER === undefined || OIDC_CLIENT_ID === undefined ? null : { name: OIDC_NAME } }
}

const Settings = {
  schema: {
    operationId: 'getSettings',
    summary: 'The settings that a page needs before anybody is logged in',
    tags: ['accounts'],
    response: answers({
      200: Type.Object({
        signup: Type.Enum(['open', 'closed', 'invite'], { description: 'Who may sign up: everybody, nobody, or those with an invitation' }),
        passwords: Type.Boolean({ description: 'Whether there are any' }),
        oidc: Nullable(Type.Object({ name: Type.String() }, { title: 'Oidc', description: 'The provider of `/api/oidc/start`' }))
      }, { title: 'Settings' })
    })
  }
}

const SignUp = {
  config: { limit: 'entry' as const, usesPassword: true },
  schema: {
    operationId: 'signUp',
    summary: 'Creates an account',
    description: 'With a guest\'s token it upgrades that guest, who keeps their conversations; the token ends.',
    tags: ['accounts'],
    body: NewAccountSchema,
    response: answers({ 201: WelcomeSchema }, [INVALID_USERNAME, INVALID_PASSWORD, USERNAME_TAKEN, INVALID_TOKEN, SIGNUP_CLOSED, INVITATION_REQUIRED, INVALID_INVITATION])
  }
}

const LogIn = {
  config: { setsCookie: true, limit: 'entry' as const, usesPassword: true },
  schema: {
    operationId: 'logIn',
    summary: 'Begins a session and sets its cookie',
    tags: ['accounts'],
    body: CredentialsSchema,
    response: answers({ 200: WelcomeSchema }, [INVALID_CREDENTIALS, ACCOUNT_LOCKED])
  }
}

const LogOut = {
  config: { setsCookie: true },
  schema: {
    operationId: 'logOut',
    summary: 'Ends the session, if there is one',
    tags: ['accounts'],
    response: answers({ 200: MessageOnlySchema }, [CROSS_SITE])
  }
}
