import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { INVALID_CREDENTIALS, CROSS_SITE, INVALID_PASSWORD, UNAUTHORIZED, USERNAME_TAKEN } from '../errors.js'
import { answers, LOGGED_IN, MessageOnlySchema } from '../http/schema.js'
import type { Passwords } from './passwords.js'
import { CredentialsSchema, NewAccountSchema, ProfileSchema, WelcomeSchema } from './schema.js'
import type { AccountStore } from './store.js'

export interface AccountRoutesOptions { accounts: AccountStore, passwords: Passwords }

export const accountRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> =
  async function accountRoutes (app, { accounts, passwords }) {
    app.post('/signup', SignUp, async ({ body: { password, ...account } }, reply) => {
      const user = await accounts.create(account, await passwords.hash(password))
      return reply.code(201).send({ message: 'User created successfully', user })
    })

    app.post('/login', LogIn, async ({ body }, reply) => {
      const user = await accounts.findByUsername(body.username)
      if (!await passwords.verify(body.password, user?.passwordHash)) throw new INVALID_CREDENTIALS()
      const { id, username } = user as { id: number, username: string }
      await reply.logIn(id)
      return { message: 'Login successful', user: { id, username } }
    })

    for (const method of ['GET', 'POST'] as const) {
      app.route({
        method,
        url: '/logout',
        ...LogOut,
        async handler (_request, reply) {
          await reply.logOut()
          return { message: 'Logged out successfully' }
        }
      })
    }

    app.get('/me', { ...Me, onRequest: app.authenticate }, async ({ user }) => accounts.profile(user.id))
  }

const SignUp = {
  schema: {
    summary: 'Makes an account',
    tags: ['accounts'],
    body: NewAccountSchema,
    response: answers({ 201: WelcomeSchema }, [INVALID_PASSWORD, USERNAME_TAKEN])
  }
}

const LogIn = {
  config: { setsCookie: true },
  schema: {
    summary: 'Begins a session, in a cookie',
    tags: ['accounts'],
    body: CredentialsSchema,
    response: answers({ 200: WelcomeSchema }, [INVALID_CREDENTIALS])
  }
}

const LogOut = {
  config: { setsCookie: true },
  schema: {
    summary: 'Ends the session, if there is one',
    tags: ['accounts'],
    response: answers({ 200: MessageOnlySchema }, [CROSS_SITE])
  }
}

const Me = {
  schema: {
    summary: 'The account that is logged in',
    tags: ['accounts'],
    security: LOGGED_IN,
    response: answers({ 200: ProfileSchema }, [UNAUTHORIZED])
  }
}
