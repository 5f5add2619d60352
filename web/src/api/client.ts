import createClient from 'openapi-fetch'
import { words } from '../words.ts'
import type { paths } from '../../../client/types.ts'

/** The address of the API: empty, which means the page's own origin, unless the page was built for another one. */
export const API_URL: string = import.meta.env['VITE_API_URL'] ?? ''

export const api = createClient<paths>({ baseUrl: API_URL, credentials: 'include' })

/** An error of the API or of the connection: a sentence for people, a stable code, and the field that it is about. */
export interface Refusal extends Error { code: string, field?: string | undefined }

interface ErrorBody { code: string, error: string, details?: Array<{ path: string, message: string }> }

export function refusal ({ code, error, details }: ErrorBody): Refusal {
  return Object.assign(new Error(words.errors[code] ?? error), { code, field: details?.[0]?.path })
}

export const unreachable = () => refusal({ code: 'UNREACHABLE', error: words.unreachable })

export function isRefusal (error: unknown): error is Refusal {
  return error instanceof Error && 'code' in error
}

interface Answer<T> { data?: T | undefined, error?: unknown, response: Response }

/** Returns the body of a response. @throws Refusal */
export async function ask<T> (call: Promise<Answer<T>>): Promise<T> {
  return (await askForPage(call)).data
}

/** Returns a page of a list, and the query of the next page, if there is one. @see RFC 8288 @throws Refusal */
export async function askForPage<T> (call: Promise<Answer<T>>): Promise<{ data: T, next: URLSearchParams | undefined }> {
  const { data, error, response } = await call.catch(() => { throw unreachable() })
  if (!response.ok) throw isErrorBody(error) ? refusal(error) : unreachable()
  const [, next] = /^<[^?>]*\?([^>]*)>; rel="next"$/.exec(response.headers.get('link') ?? '') ?? []
  return { data: data as T, next: next === undefined ? undefined : new URLSearchParams(next) }
}

/** A proxy may answer in place of the API, with a body of its own. */
function isErrorBody (body: unknown): body is ErrorBody {
  return typeof body === 'object' && body !== null && 'code' in body && 'error' in body
}

/** A random id for a message, so that the server stores it only once, however often it is sent. */
export function newClientId () {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), part => part.toString(36)).join('-')
}
