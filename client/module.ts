import { createClient as create, type ClientOptions } from './client.ts'

// The module that the server serves at /client.js, for pages without a build step.

export { ParleyError } from './errors.ts'

// In two steps, because build tools take `new URL('.', import.meta.url)` for the address of an asset.
const address = import.meta.url
const HERE = new URL('.', address).href

/** As `createClient`, for the server that this file was loaded from. */
export const createClient = (options: ClientOptions = {}) => create({ url: HERE, ...options })
