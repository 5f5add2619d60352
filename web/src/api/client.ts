import createClient from 'openapi-fetch'
import { words } from '../words.js'
import type { paths } from './types.js'

/** Where the API is: where the page comes from, unless it was built for another place. */
export const API_URL: string = import.meta.env['VITE_API_URL'] ?? ''

export const api = createClient<paths>({ baseUrl: API_URL, credentials: 'include' })

/** What the server, or the way to it, refused: a sentence for people, a code that never changes, and which field it is about. */
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

/** What a call answers. @throws a Refusal */
export async function ask<T> (call: Promise<Answer<T>>): Promise<T> {
  return (await askForPage(call)).data
}

/** A page of a list, and the query of the next one, where there is one. @see RFC 8288 @throws a Refusal */
export async function askForPage<T> (call: Promise<Answer<T>>): Promise<{ data: T, next: URLSearchParams | undefined }> {
  const { data, error, response } = await call.catch(() => { throw unreachable() })
  if (!response.ok) throw isErrorBody(error) ? refusal(error) : unreachable()
  const [, next] = /^<[^?>]*\?([^>]*)>; rel="next"$/.exec(response.headers.get('link') ?? '') ?? []
  return { data: data as T, next: next === undefined ? undefined : new URLSearchParams(next) }
}

/** A proxy in between may say something else. */
function isErrorBody (body: unknown): body is ErrorBody {
  return typeof body === 'object' && body !== null && 'code' in body && 'error' in body
}

/** What a message is called by its sender, so that it is stored once however often it is sent. */
export function newClientId () {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), part => part.toString(36)).join('-')
}
