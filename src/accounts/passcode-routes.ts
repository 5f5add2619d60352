import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { FastifyRequest } from 'fastify'
import {
  ACCOUNT_LOCKED, INVALID_CREDENTIALS, INVALID_INVITATION, INVALID_PASSWORD, INVALID_USERNAME, INVITATION_REQUIRED, SIGNUP_CLOSED,
  USERNAME_TAKEN
} from '../errors.ts'
import type { createErrorHandler, Dialect } from '../http/error-handler.ts'
import { invalidRequest } from '../http/faults.ts'
import { answers, ErrorSchema, type ErrorBody } from '../http/schema.ts'
import { keyOf } from '../text/username.ts'
import type { SignIn } from './sign-in.ts'
import { NewPasscodeSchema, PasscodeSchema } from './schema.ts'

export interface PasscodeRoutesOptions {
  signIn: SignIn
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** Legacy sign-up and login with `id` and `passcode`, for the same accounts under the same rules. @see docs/compatibility.md */
export const passcodeRoutes: FastifyPluginAsyncTypebox<PasscodeRoutesOptions> =
  async function passcodeRoutes (app, { signIn, handleErrors }) {
    app.setErrorHandler(handleErrors(withMessage))
    app.addHook('preValidation', readDigits)

    app.post('/register', Register, async ({ body }, reply) => {
      await signIn.signUp({ username: body.id, password: body.passcode, invitation: body.invitation })
      return reply.code(201).send({ msg: 'User created' })
    })

    app.post('/login', LogIn, async (request, reply) => {
      const { body } = request
      await request.limitBy('account', keyOf(body.id))
      const { user, provedHash } = await signIn.logIn(body.id, body.passcode)
      return { access_token: await reply.openSession(user.id, 'access_token', { provedHash }) }
    })
  }

/** An id may be a whole number in JSON, which counts as its digits. A number that JSON cannot represent exactly is refused. */
async function readDigits ({ body }: FastifyRequest) {
  const sent = body as { id?: unknown } | null | undefined
  if (typeof sent?.id !== 'number') return
  if (!Number.isInteger(sent.id)) throw invalidRequest([{ path: 'id', message: 'must be a string or a whole number' }])
  if (!Number.isSafeInteger(sent.id)) throw invalidRequest([{ path: 'id', message: 'must be a string, because JSON cannot represent a number of this size exactly' }])
  sent.id = String(sent.id)
}

/** The legacy messages for these errors. All others have their usual message. */
const WORDS: Record<string, string> = { USERNAME_TAKEN: 'User already exists', INVALID_CREDENTIALS: 'Bad id or passcode' }

function withMessage (body: ErrorBody) {
  return { ...body, msg: WORDS[body.code] ?? body.error }
}

const MessageSchema = Type.Object({ msg: Type.String() }, { title: 'PasscodeMessage' })
const PasscodeErrorSchema = Type.Object({ ...ErrorSchema.properties, ...MessageSchema.properties }, { title: 'PasscodeError' })

const Register = {
  config: { limit: 'entry' as const, usesPassword: true },
  schema: {
    operationId: 'register',
    summary: 'Creates an account with an id and a passcode',
    tags: ['accounts'],
    body: NewPasscodeSchema,
    response: answers({ 201: MessageSchema }, [INVALID_USERNAME, INVALID_PASSWORD, USERNAME_TAKEN, SIGNUP_CLOSED, INVITATION_REQUIRED, INVALID_INVITATION], PasscodeErrorSchema)
  }
}

const LogIn = {
  config: { limit: 'entry' as const, usesPassword: true },
  schema: {
    operationId: 'logInForToken',
    summary: 'Begins a session of 24 hours and answers with its token',
    tags: ['accounts'],
    body: PasscodeSchema,
    response: answers({ 200: Type.Object({ access_token: Type.String() }, { title: 'AccessToken' }) }, [INVALID_CREDENTIALS, ACCOUNT_LOCKED], PasscodeErrorSchema)
  }
}
