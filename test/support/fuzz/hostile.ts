import { gzipSync } from 'node:zlib'
import type { Draw } from './draw.ts'

// Kinds of input that are known to break servers. Each list begins with the simplest value.

const repeat = (text: string, bytes: number) => text.repeat(Math.ceil(bytes / Buffer.byteLength(text)))

/** A base letter with combining marks. Unicode normalisation of many marks in a row is slow, so the pile is kept small. */
const PILE = `a${'\u0300\u0316'.repeat(500)}`

export const STRINGS: readonly string[] = [
  '', ' ', '0', '-1', 'null', 'true', '[object Object]', '\t\n', '\u00a0\u2003', '\0', 'a\0b', '\ud800', '\udc00a', 'a\ud83d', '\ufeff', '\ufffd',
  '\u202eabc', '\u200f\u200e', '\u200b\u200d', 'e\u0301', '\u00e9', 'ＡＮＮ', 'İi\u0307', '\u0661\u0662\u0663', '１２３', '👩‍👩‍👧‍👦', '\u{10ffff}', '\u{1f600}'.repeat(100),
  "' OR 1=1 --", '"; DROP TABLE users; --', '$1', '%', '_', '\\', '{{7*7}}', '<script>alert(1)</script>', '../../etc/passwd', 'file:///etc/passwd',
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'NaN', 'Infinity', '1e400', '0x10', '1_000', '١', '2026-13-45T25:61:61Z', '+infinity', 'BC',
  '@simulated', '@slow @slow', 'data: x\n\nevent: y', 'a\r\nSet-Cookie: b=c', PILE, 'a'.repeat(65), 'a'.repeat(256), 'a'.repeat(8001), repeat('\u{1f600}', 40_000),
  'a'.repeat(64 * 1024)
]

const NUMBERS: readonly number[] = [
  0, -0, -1, 1.5, 1e-7, 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, 2 ** 53, 2 ** 63, -(2 ** 63), 1e21, 1e308
]

const deep = (levels: number) => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`) as unknown

/** An object with these keys of its own. In a literal `__proto__` would set the prototype. */
const parsed = (json: string) => JSON.parse(json) as unknown

const CONTAINERS: ReadonlyArray<() => unknown> = [
  () => null, () => true, () => [], () => ({}), () => [null], () => [[]], () => [1, 'a', {}], () => parsed('{"__proto__":{"isAdmin":true}}'),
  () => parsed('{"constructor":{"prototype":{"x":1}}}'), () => ({ length: 5 }), () => ({ toString: 1 }), () => ({ $ne: null }), () => deep(500),
  () => Array.from({ length: 2000 }, (_, n) => n), () => Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`key${n}`, n]))
]

export function hostileValue (draw: Draw): unknown {
  return draw.pick([() => draw.pick(STRINGS), () => draw.pick(NUMBERS), () => draw.pick(CONTAINERS)()])()
}

/** Path segments and query values as they appear in a URL. Some have wrong percent-encoding. */
export const SEGMENTS: readonly string[] = [
  '0', '-1', '1.5', '1e0', '0x1', '%201', '%2B1', '01', 'null', 'me', '9007199254740991', '9007199254740992', '9223372036854775808', '1e400', '9'.repeat(400),
  '1%20OR%201=1', "1'--", '%D9%A1', '%EF%BC%91', '%00', '1%00', '%0d%0a', '%2e%2e', '..', '%2F', '%5c', '%zz', '%', '%ff', '%ed%a0%80', '%F0%9F%98%80', '%e2%80%ae1',
  '1;2', '1,2', '[1]', '{id}', '*', ':id', '__proto__', 'a'.repeat(499), 'a'.repeat(600), 'a'.repeat(9000)
]

/** Header values as Node hands them over: bytes outside ASCII are read as Latin-1, and line breaks are impossible. */
export const HEADER_VALUES: readonly string[] = [
  '', ' ', '0', '-1', '1.5', '9007199254740992', 'a'.repeat(255), 'a'.repeat(256), 'a'.repeat(8000), '\u00e9', '\u00ff\u0080', Buffer.from('😀').toString('latin1'), '\t', 'a\tb', '"', '*', 'null', '%00', '__proto__', ';;;', ',,,'
]

const HEADER_NAMES: readonly string[] = [
  'accept', 'accept-encoding', 'accept-language', 'authorization', 'content-encoding', 'content-type', 'cookie', 'expect', 'forwarded', 'host', 'idempotency-key', 'if-match',
  'if-modified-since', 'if-none-match', 'last-event-id', 'origin', 'range', 'referer', 'sec-fetch-site', 'te', 'traceparent', 'tracestate', 'user-agent', 'via', 'x-act-as',
  'x-api-key', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-http-method-override', 'x-hub-signature-256', 'x-requested-with', '__proto__', 'constructor'
]

/** Standard headers with unusual values. */
const TELLING_HEADERS: ReadonlyArray<readonly [string, string]> = [
  ['accept', 'text/html'], ['accept', 'text/event-stream'], ['accept', 'application/xml;q=0.9, */*;q=0'], ['accept', 'text/event-stream;q=0, application/json'],
  ['accept-encoding', 'gzip, br, zstd;q=2'], ['accept-encoding', 'identity;q=0, *;q=0'], ['range', 'bytes=0-0'], ['range', 'bytes=-1,5-2,abc'], ['expect', '100-continue'],
  ['expect', 'the unexpected'], ['if-none-match', '*'], ['if-none-match', 'W/"x", "y'], ['if-modified-since', 'yesterday'], ['origin', 'null'], ['origin', 'https://elsewhere.example'],
  ['origin', 'http://localhost:3000'], ['origin', 'http://'], ['sec-fetch-site', 'cross-site'], ['cookie', 'session=; session=x; session='],
  ['cookie', 'session="%zz"; __proto__=1'], ['cookie', Array.from({ length: 200 }, (_, n) => `c${n}=${n}`).join('; ')], ['authorization', 'Bearer'], ['authorization', 'Bearer '],
  ['authorization', 'Basic YTpi'], ['authorization', 'bearer  a b c'], ['authorization', 'Bearer eyJhbGciOiJub25lIn0.eyJzaWQiOjEsImtpbmQiOiJjb29raWUifQ.'],
  ['authorization', 'Bearer null'], ['authorization', 'Bearer pk_x'], ['host', ''], ['host', 'evil.example'], ['host', '[::1'], ['x-forwarded-for', '1.2.3.4, unknown'],
  ['x-forwarded-host', 'evil.example'], ['x-http-method-override', 'DELETE'], ['traceparent', '00-0-0-00'], ['idempotency-key', 'the same'], ['last-event-id', '1e3'],
  ['te', 'trailers'], ['user-agent', 'x'.repeat(4000)]
]

export function hostileHeader (draw: Draw): readonly [string, string] {
  return draw.chance(60) ? draw.pick(TELLING_HEADERS) : [draw.pick(HEADER_NAMES), draw.pick(HEADER_VALUES)]
}

export const CONTENT_TYPES: readonly string[] = [
  'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/json; charset=utf-16', 'application/json;', 'APPLICATION/JSON',
  'application/vnd.api+json', 'application/xml', 'application', '', '/', 'application/json, text/plain', 'text/plain; charset=ÿ', 'a/b; c="'
]

export const METHODS: readonly string[] = ['HEAD', 'OPTIONS', 'PATCH', 'PUT', 'DELETE', 'POST', 'GET', 'TRACE', 'QUERY', 'PROPFIND']

/** Query strings that different parsers read differently. */
export const QUERIES: readonly string[] = [
  '', '&&&', '=', '=1', 'a', 'limit=', 'limit=1&limit=2', 'limit[]=1', 'limit=1%00', 'limit=%zz', 'limit=+5', '__proto__[x]=1', '__proto__=1', 'constructor=1', 'hasOwnProperty=1',
  'cursor=AAAA', 'cursor=%ff', 'after=-1', 'before=0', 'before=1&after=1', 'messages=201', '?', `a=${'b'.repeat(4000)}`, Array.from({ length: 300 }, (_, n) => `p${n}=${n}`).join('&')
]

/** Ways to damage the bytes of a JSON body, and headers that do not match the body. */
export const SPOILS: ReadonlyArray<(json: string) => { body: Buffer, headers?: Record<string, string> }> = [
  json => ({ body: Buffer.from(json.slice(0, -1)) }),
  () => ({ body: Buffer.from('null') }),
  () => ({ body: Buffer.from('"text"') }),
  () => ({ body: Buffer.from('0') }),
  json => ({ body: Buffer.from(`[${json}]`) }),
  json => ({ body: Buffer.from(`\ufeff${json}`) }),
  json => ({ body: Buffer.from(`${json}${json}`) }),
  json => ({ body: Buffer.from(json.replace(/^\{(?=.)/, '{"name":1,"text":[],"__proto__":{"a":1},')) }),
  json => ({ body: Buffer.from(json.replace(/\}$/, ',"constructor":{"prototype":{"a":1}}}')) }),
  json => ({ body: Buffer.from(json.replace(/^\{/, '{"__proto__":null,').replace(/,\}/, '}')) }),
  json => ({ body: Buffer.from(json.replace(/:\s*("[^"]*"|\d+)/, ':NaN')) }),
  json => ({ body: Buffer.from(json.replace(/:\s*("[^"]*"|\d+)/, ':1e400')) }),
  json => ({ body: Buffer.from(json.replace(/:\s*("[^"]*"|\d+)/, `:${'9'.repeat(400)}`)) }),
  json => ({ body: Buffer.from(json.replace(/:\s*"/, ':"\\u0000')) }),
  json => ({ body: Buffer.from(json.replace(/:\s*"/, ':"\\ud800')) }),
  json => ({ body: Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from([0xff, 0xfe]), Buffer.from(json.slice(-1))]) }),
  json => ({ body: Buffer.from(json.replace(/:\s*"/, ':"\u00ff'), 'latin1') }),
  json => ({ body: Buffer.from(json, 'utf16le') }),
  json => ({ body: Buffer.from(`${' '.repeat(64 * 1024)}${json}`) }),
  () => ({ body: Buffer.from(`${'['.repeat(30_000)}${']'.repeat(30_000)}`) }),
  () => ({ body: Buffer.from(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`) }),
  () => ({ body: Buffer.from('a=b&c=d'), headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
  () => ({ body: Buffer.alloc(0), headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
  () => ({ body: Buffer.alloc(0), headers: { 'content-type': 'text/plain' } }),
  () => ({ body: Buffer.alloc(0) }),
  json => ({ body: gzipSync(json), headers: { 'content-encoding': 'gzip' } }),
  json => ({ body: Buffer.from(json), headers: { 'content-encoding': 'br' } }),
  json => ({ body: Buffer.from(json), headers: { 'content-encoding': 'identity' } }),
  () => ({ body: Buffer.from([0, 1, 2, 3]) })
]
