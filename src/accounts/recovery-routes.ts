import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { EMAIL_TAKEN, INVALID_LINK, INVALID_PASSWORD, NOT_FOR_GUESTS, NOTHING_TO_VERIFY, UNAUTHORIZED } from '../errors.ts'
import { answers, LOGGED_IN, MessageOnlySchema } from '../http/schema.ts'
import type { RecoveryStore } from './recovery-store.ts'
import type { Recovery } from './recovery.ts'
import { Email, Password } from './schema.ts'

export interface RecoveryRoutesOptions { recovery: Recovery, recoveries: RecoveryStore }

export const recoveryRoutes: FastifyPluginAsyncTypebox<RecoveryRoutesOptions> =
  async function recoveryRoutes (app, { recovery, recoveries }) {
    app.post('/password/forgot', Forgot, async ({ body }) => {
      await recoveries.forgot(body.email)
      return { message: 'If an account has this address, a mail with a link is on its way' }
    })

    app.post('/password/reset', Reset, async ({ body }) => {
      await recovery.resetPassword(body.token, body.password)
      return { message: 'Password changed successfully' }
    })

    app.post('/email/verify', Verify, async ({ body }) => {
      await recovery.verifyEmail(body.token)
      return { message: 'E-mail address verified' }
    })

    app.post('/email/resend', { ...Resend, onRequest: [app.authenticate, app.refuseGuests] }, async ({ user }) => {
      await recoveries.verifyAgain(user.id)
      return { message: 'A mail with a link is on its way' }
    })
  }

const Token = Type.String({ maxLength: 100, description: 'The part of the link in the mail after `=`' })

const Forgot = {
  config: { limit: 'entry' as const, usesPassword: true },
  schema: {
    operationId: 'forgotPassword',
    summary: 'Sends a link to choose a new password, if an account has verified this address',
    tags: ['accounts'],
    body: Type.Object({ email: Email }),
    response: answers({ 200: MessageOnlySchema })
  }
}

const Reset = {
  config: { limit: 'entry' as const, usesPassword: true },
  schema: {
    operationId: 'resetPassword',
    summary: 'Sets a new password and ends all sessions',
    tags: ['accounts'],
    body: Type.Object({ token: Token, password: Password }),
    response: answers({ 200: MessageOnlySchema }, [INVALID_LINK, INVALID_PASSWORD])
  }
}

const Verify = {
  config: { limit: 'entry' as const },
  schema: {
    operationId: 'verifyEmail',
    summary: 'Confirms the e-mail address of an account',
    tags: ['accounts'],
    body: Type.Object({ token: Token }),
    response: answers({ 200: MessageOnlySchema }, [INVALID_LINK, EMAIL_TAKEN])
  }
}

const Resend = {
  schema: {
    operationId: 'resendVerification',
    summary: 'Sends the link that confirms the e-mail address again, at most five times an hour',
    tags: ['accounts'],
    security: LOGGED_IN,
    response: answers({ 200: MessageOnlySchema }, [UNAUTHORIZED, NOT_FOR_GUESTS, NOTHING_TO_VERIFY])
  }
}
