import type { Caller } from './callers.ts'
import type { Draw } from './draw.ts'
import { drawHttpRequest, type HttpRequest } from './http-request.ts'
import { createJudge, parsed, type Fault } from './judge.ts'
import { drawRawRequest, judgeRaw, sendRaw, statusesIn } from './raw-request.ts'
import { sendHttp } from './send.ts'
import { createSockets, drawSocketRequest, EVENTS, isSuccess, judgeSocket } from './socket-events.ts'
import type { World } from './world.ts'

/** What requests are sent to: a route, a socket event, or a raw TCP connection. */
export type Target = { name: string } & ({ route: World['routes'][number] } | { event: typeof EVENTS[number] } | { raw: true })

/** A request that was sent, and its result, both as readable text. */
export interface Sent { described: string, answered: string, isGood: boolean, fault: Fault | undefined }

/** Whether the request with this description should be sent. */
type IsNew = (described: string) => boolean

/** There are only a few socket events, but each does a lot. So each event counts as several targets and gets more requests. */
const SOCKET_SHARE = 4

export function targetsOf ({ routes }: World): Target[] {
  return [
    ...routes.map(route => ({ name: route.name, route })),
    ...EVENTS.flatMap(event => Array.from({ length: SOCKET_SHARE }, () => ({ name: `socket ${event.event}`, event }))),
    { name: 'raw bytes', raw: true }
  ]
}

/** Generates one request to a target, sends it, and compares the answer with what is documented. */
export function createAttempts (world: World) {
  const judge = createJudge(world.routes)
  const sockets = createSockets(world)

  return {
    close: sockets.close,
    /** Undefined if the same request was sent before. */
    async attempt (draw: Draw, target: Target, caller: Caller, isNew: IsNew): Promise<Sent | undefined> {
      try {
        if ('route' in target) return await overHttp(draw, target.route, caller, isNew)
        return 'event' in target ? await overSocket(draw, target.event, caller, isNew) : await raw(draw, isNew)
      } catch (error) {
        const { message, stack } = error as Error
        return { described: `${target.name} as ${caller.role}`, answered: 'nothing', isGood: false, fault: { kind: message, detail: String(stack) } }
      }
    }
  }

  async function overHttp (draw: Draw, route: World['routes'][number], caller: Caller, isNew: IsNew): Promise<Sent | undefined> {
    const request = await drawHttpRequest(draw, world, route, caller)
    const described = describe({ as: caller.role, ...request })
    if (!isNew(described)) return undefined
    const answer = await sendHttp(world, request, caller)
    const { status, headers, body } = answer
    learn(request, caller, status, body, String(headers['link'] ?? ''))
    return { described, answered: `${status} ${body.toString()}`, isGood: isGood(status), fault: judge(request, answer) }
  }

  async function overSocket (draw: Draw, event: typeof EVENTS[number], caller: Caller, isNew: IsNew): Promise<Sent | undefined> {
    const request = drawSocketRequest(draw, world, event, caller)
    const described = describe({ as: caller.role, ...request })
    if (!isNew(described)) return undefined
    const answer = await sockets.send(request, caller)
    if (answer.isRefused && caller.role !== 'nobody') caller.isGone = true
    const { chat_session_id: id } = (answer.acknowledgement ?? {}) as { chat_session_id?: number }
    if (id !== undefined) world.learned.learn('/api/conversations', [], { id }, caller.name)
    return { described, answered: JSON.stringify(answer), isGood: isSuccess(answer), fault: judgeSocket(answer) }
  }

  async function raw (draw: Draw, isNew: IsNew): Promise<Sent | undefined> {
    const request = drawRawRequest(draw)
    const described = describe(request)
    if (!isNew(described)) return undefined
    const answer = await sendRaw(world.server.port, request)
    return { described, answered: answer.toString('latin1'), isGood: statusesIn(answer).some(isGood), fault: judgeRaw(request, answer) }
  }

  /** Learns from an answer which resources exist, and whether the caller's session has ended. */
  function learn ({ collection, ids, method, headers }: HttpRequest, caller: Caller, status: number, body: Buffer, link: string) {
    const { learned } = world
    const isOne = collection.endsWith('/{}')
    const list = isOne ? collection.slice(0, -'/{}'.length) : collection
    if (status === 401 && !('authorization' in headers || 'cookie' in headers)) caller.isGone ||= caller.role !== 'nobody' && asksToLogIn(body)
    if (caller.role === 'server' && status === 204 && collection === '/api/me') caller.isGone = true // it acts for nobody from now on
    const [, cursor] = /[?&]cursor=([\w-]+)/.exec(link) ?? []
    if (cursor !== undefined) learned.learnValue('cursors', 'cursor', cursor)
    if (status === 404 || (status === 204 && method === 'DELETE')) learned.forget(list, ids, caller.name)
    else if (status < 300) learned.learn(list, isOne ? ids.slice(0, -1) : ids, parsed(body), caller.name)
  }
}

const isGood = (status: number) => status >= 200 && status < 300

function asksToLogIn (body: Buffer) {
  return ['UNAUTHORIZED', 'INVALID_TOKEN'].includes(String((parsed(body) as { code?: string } | undefined)?.code))
}

/** A request as JSON, so that it can be read, compared and sent again. Bytes that are not text are in base64. */
function describe (request: object) {
  return JSON.stringify(request, (name, value) => {
    if (name === 'collection' || name === 'ids' || name === 'kind') return undefined
    if (value?.type !== 'Buffer' || !Array.isArray(value.data)) return value
    const bytes = Buffer.from(value.data)
    return Buffer.from(bytes.toString()).equals(bytes) ? bytes.toString() : { base64: bytes.toString('base64') }
  })
}
