import { API_KEY } from '../helper.ts'
import type { Route } from '../routes.ts'
import { PASSWORD } from './callers.ts'
import type { Hints } from './values.ts'
import { collectionOf, type World } from './world.ts'

const NONE: readonly unknown[] = []

/** Values that the server is likely to accept: those from its settings, and those in its responses. A new account needs an unused name. */
export function hintsFor ({ learned, callers, tokensFor }: World, { path }: Route): Hints {
  const segments = collectionOf(path).split('/').filter(segment => segment !== '{}')
  const collection = segments.at(-1)!
  const makesAccount = collection === 'signup' || collection === 'register'
  return field => {
    switch (field) {
      case 'password': case 'passcode': case 'current_password': return [PASSWORD]
      case 'username': return makesAccount ? NONE : callers.names()
      case 'id': return collection === 'login' ? callers.names() : NONE
      case 'token': return collection === 'reset' ? tokensFor('password_reset') : collection === 'verify' ? tokensFor('email_verification') : callers.tokensOf('guest')
      case 'x-api-key': return [API_KEY]
      case 'user_phone': return ['+49 170 1234567', '0049 (170) 1234567', 4_917_012_345, '١٢٣٤٥', '12345678']
      case 'user_message': case 'text': case 'content': return ['hello', 'Hi', 'John', 'So What', '@slow @simulated hi']
      case 'email': return ['somebody@example.com', 'ann@example.com', 'bob@example.com']
      case 'phone_number': return ['+49 30 12345', '030 123-45']
      case 'url': return ['http://127.0.0.1:9/hook']
      case 'model': return ['slow']
      case 'bots': return learned.valuesOf('bots', 'name')
      case 'users': return callers.names()
      case 'cursor': return learned.valuesOf('cursors', 'cursor')
      case 'name': return collection === 'bots' && !path.startsWith('/api/admin') ? learned.valuesOf('bots', 'name') : NONE
      case 'since': return ['2026-11-21T10:00:00Z']
      default: return NONE
    }
  }
}
