import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import path from 'node:path'
import type { Server as Engine } from 'engine.io'
import { createProxyServer } from 'httpxy'

/** A worker among those that share the port. */
export interface Sibling { number: number, folder: string }

/** How requests reach the engine of Socket.IO that knows their connection. */
export type EngineRouter = ReturnType<typeof routerOf>

/** A server of one process has one engine. */
export function routerOf (engine: Engine) {
  return {
    handleRequest: async (request: IncomingMessage, response: ServerResponse) => { engine.handleRequest(request as never, response) },
    handleUpgrade: async (request: IncomingMessage, socket: Duplex, head: Buffer) => { engine.handleUpgrade(request as never, socket, head) },
    close: async () => {}
  }
}

/**
 * A connection that begins with long polling takes many requests, on any number of TCP connections, and each may reach
 * another worker. So the id of a connection says which worker has it, and the others forward its requests there, to a Unix
 * socket. The sticky sessions of @socket.io/sticky would not do: they look at the first request of each TCP connection only.
 */
export async function routerAmong (engine: Engine, { number, folder }: Sibling): Promise<EngineRouter> {
  const own = routerOf(engine)
  const socketOf = (worker: number) => path.join(folder, `${worker}.sock`)
  const makeId = engine.generateId.bind(engine)
  engine.generateId = async request => `${number}.${await makeId(request)}`
  const proxy = createProxyServer({})
  // A worker that closed its connections itself could do so just when a request is sent on one, or before it has been sent.
  const agent = new http.Agent({ keepAlive: true })
  const headers = { connection: 'keep-alive' }

  const server = http.createServer({ keepAliveTimeout: 0 }, own.handleRequest).on('upgrade', own.handleUpgrade)
  await rm(socketOf(number), { force: true }) // of a worker that was killed
  await once(server.listen({ path: socketOf(number), exclusive: true }), 'listening') // by this process, not by the primary

  /** Where the worker listens that has the connection; undefined if that is this one, or none. */
  function ownerOf ({ url }: IncomingMessage) {
    const owner = /[?&]sid=(\d{1,3})\./.exec(url!)?.[1]
    return owner === undefined || Number(owner) === number ? undefined : { socketPath: socketOf(Number(owner)) }
  }

  return {
    async handleRequest (request, response) {
      const target = ownerOf(request)
      if (target === undefined) return await own.handleRequest(request, response)
      try {
        await proxy.web(request, response, { target, agent, headers })
      } catch {
        // That worker has ended, and its connections with it: this engine says that it does not know the connection.
        /* c8 ignore next -- takes a worker that dies between the headers and the end of an answer */
        if (response.headersSent) response.destroy()
        else await own.handleRequest(request, response)
      }
    },

    async handleUpgrade (request, socket, head) {
      const target = ownerOf(request)
      if (target === undefined) return await own.handleUpgrade(request, socket, head)
      await proxy.ws(request, socket as never, { target }, head).catch(() => socket.destroy())
    },

    async close () {
      agent.destroy()
      server.close()
      server.closeAllConnections()
    }
  }
}
