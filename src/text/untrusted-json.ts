// Reads untrusted JSON. A value of an unexpected type counts as empty or missing.

export type Json = Record<string, unknown>

export function record (value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Json : {}
}

export function list (value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

export function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
