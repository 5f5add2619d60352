import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { INVALID_CREDENTIALS, CROSS_SITE, INVALID_PASSWORD, INVALID_TOKEN, USERNAME_TAKEN } from '../errors.js'
import { answers, MessageOnlySchema } from '../http/schema.js'
import { CredentialsSchema, NewAccountSchema, WelcomeSchema } from './schema.js'
import type { SignIn } from './sign-in.js'
import { keyOf } from './store.js'

export const accountRoutes: FastifyPluginAsyncTypebox<{ signIn: SignIn }> =
  async function accountRoutes (app, { signIn }) {
    app.post('/signup', SignUp, async ({ body, bearer }, reply) => {
      const guest = await app.userOf(bearer)
      const user = await signIn.signUp(body, guest?.isGuest ? guest.id : undefined)
      return reply.code(201).send({ message: 'User created successfully', user })
    })

    app.post('/login', LogIn, async (request, reply) => {
      const { username, password } = request.body
      await request.limitBy('account', keyOf(username))
      const { user, provedHash } = await signIn.logIn(username, password)
      await reply.logIn(user.id, provedHash)
      return { message: 'Login successful', user }
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
  }

const SignUp = {
  config: { limit: 'entry' as const },
  schema: {
    summary: 'Makes an account',
    description: 'With a guest\'s token that guest\'s own row becomes the account, its conversations with it, and the token ends.',
    tags: ['accounts'],
    body: NewAccountSchema,
    response: answers({ 201: WelcomeSchema }, [INVALID_PASSWORD, USERNAME_TAKEN, INVALID_TOKEN])
  }
}

const LogIn = {
  config: { setsCookie: true, limit: 'entry' as const },
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
