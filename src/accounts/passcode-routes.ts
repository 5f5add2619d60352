import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { FastifyRequest } from 'fastify'
import { INVALID_CREDENTIALS, INVALID_PASSWORD, INVALID_REQUEST, USERNAME_TAKEN } from '../errors.js'
import type { createErrorHandler, Dialect } from '../http/error-handler.js'
import { answers, ErrorSchema, type ErrorBody } from '../http/schema.js'
import type { SignIn } from './sign-in.js'
import { NewPasscodeSchema, PasscodeSchema } from './schema.js'
import { keyOf } from './store.js'

export interface PasscodeRoutesOptions {
  signIn: SignIn
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** The accounts of seed 003, in its own words: the same accounts, under the same rules. */
export const passcodeRoutes: FastifyPluginAsyncTypebox<PasscodeRoutesOptions> =
  async function passcodeRoutes (app, { signIn, handleErrors }) {
    app.setErrorHandler(handleErrors(withMessage))
    app.addHook('preValidation', readDigits)

    app.post('/register', Register, async ({ body }, reply) => {
      await signIn.signUp({ username: body.id, password: body.passcode })
      return reply.code(201).send({ msg: 'User created' })
    })

    app.post('/login', LogIn, async (request, reply) => {
      const { body } = request
      await request.limitBy('account', keyOf(body.id))
      const { user, provedHash } = await signIn.logIn(body.id, body.passcode)
      return { access_token: await reply.openSession(user.id, 'access_token', provedHash) }
    })
  }

/** An id that is a number is taken as its digits; of one that JSON cannot carry exactly nobody knows them. */
async function readDigits ({ body }: FastifyRequest) {
  const sent = body as { id?: unknown } | null | undefined
  if (typeof sent?.id !== 'number') return
  if (!Number.isSafeInteger(sent.id)) throw new INVALID_REQUEST()
  sent.id = String(sent.id)
}

/** What the seed says of these, in its words; of all else the reason. */
const WORDS: Record<string, string> = { USERNAME_TAKEN: 'User already exists', INVALID_CREDENTIALS: 'Bad id or passcode' }

function withMessage (body: ErrorBody) {
  return { ...body, msg: WORDS[body.code] ?? body.error }
}

const MessageSchema = Type.Object({ msg: Type.String() })
const PasscodeErrorSchema = Type.Object({ ...ErrorSchema.properties, ...MessageSchema.properties })

const Register = {
  config: { limit: 'entry' as const },
  schema: {
    summary: 'Makes an account, with an id and a passcode',
    tags: ['accounts'],
    body: NewPasscodeSchema,
    response: answers({ 201: MessageSchema }, [INVALID_PASSWORD, USERNAME_TAKEN], PasscodeErrorSchema)
  }
}

const LogIn = {
  config: { limit: 'entry' as const },
  schema: {
    summary: 'Begins a session of 24 hours, and gives its token',
    tags: ['accounts'],
    body: PasscodeSchema,
    response: answers({ 200: Type.Object({ access_token: Type.String() }) }, [INVALID_CREDENTIALS], PasscodeErrorSchema)
  }
}
