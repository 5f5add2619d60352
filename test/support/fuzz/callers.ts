import { API_KEY, type Headers } from '../helper.ts'
import { keyWith } from '../routes.ts'
import type { LiveServer } from './world.ts'

export const PASSWORD = 'correct horse'

export type Role = 'nobody' | 'user' | 'guest' | 'admin' | 'server'

/**
 * A user who sends requests. `headers` are sent with each of them: a server acts for one of its users. `isGone`: the session or
 * account has ended, so the next request needs another caller.
 */
export interface Caller { role: Role, name: string, token?: string, headers?: Headers, isGone: boolean, uses: number }

/** A caller is replaced after this many requests, since the lists of their resources grow with each request. */
const MOST_USES = 500

const HOW_MANY: Record<Role, number> = { nobody: 1, user: 3, guest: 2, admin: 2, server: 1 }

/** Callers of every role. Those that have ended their session or deleted their account are replaced by new ones. */
export function createCallers ({ anyone, clientOf, db }: LiveServer, onNew: (caller: Caller) => Promise<void>) {
  const places = new Map<string, Caller>()
  let made = 0

  return {
    /** The nth caller of a role. */
    async of (role: Role, nth: number): Promise<Caller> {
      const place = `${role} ${nth % HOW_MANY[role]}`
      const known = places.get(place)
      if (known !== undefined && !known.isGone && known.uses < MOST_USES) return known
      const caller = await make(role)
      places.set(place, caller)
      await onNew(caller)
      return caller
    },
    tokensOf: (role: Role) => [...places.values()].filter(caller => caller.role === role && !caller.isGone).map(({ token }) => token),
    names: () => [...places.values()].filter(({ role }) => role === 'user' || role === 'admin').map(({ name }) => name)
  }

  async function make (role: Role): Promise<Caller> {
    const caller: Caller = { role, name: role === 'nobody' ? role : `${role}${++made}`, isGone: false, uses: 0 }
    if (role === 'nobody') return caller
    if (role === 'guest') return { ...caller, token: (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().token }
    if (role === 'server') return await makeServer(caller)
    const account = { username: caller.name, password: PASSWORD }
    await anyone.post('/api/signup', { ...account, email: `${caller.name}@example.com` })
    if (role === 'admin') await db.$client.query("UPDATE users SET role = 'admin' WHERE username = $1", [caller.name])
    const { cookies: [cookie] } = await anyone.post('/api/login', account)
    return { ...caller, token: cookie!.value }
  }

  async function makeServer (caller: Caller): Promise<Caller> {
    const key = await keyWith(db, ['users', 'act', 'read', 'guests', 'v1'])
    await clientOf(key).put(`/api/users/${caller.name}`, { name: caller.name })
    return { ...caller, token: key.authorization.replace('Bearer ', ''), headers: { 'x-act-as': caller.name } }
  }
}
