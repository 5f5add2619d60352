import t from 'tap'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync, gzipSync, brotliDecompressSync } from 'node:zlib'
import Fastify from 'fastify'
import { page } from '../../src/http/page.ts'
import { startApp } from '../support/helper.ts'

// The page as the server delivers it: what can be tested without a browser.

const folder = 'dist/web'
const notBuilt = existsSync(path.join(folder, 'index.html')) ? false : 'skipped: the page is not built (npm run build)'
const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
const SAID = { message: 'Server is running' }

t.test('a browser gets the page at /, other clients get the message that the server is running', { skip: notBuilt }, async t => {
  const { anyone } = await startApp(t)
  const answer = await anyone.get('/', HTML)
  t.equal(answer.statusCode, 200)
  t.match(answer.headers, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache', vary: /Accept/, etag: String })
  t.match(answer.body, /<div id="root"><main class="loading"[^>]*>.*Loading…/)
  t.equal((await anyone.get('/', { ...HTML, 'if-none-match': String(answer.headers.etag) })).statusCode, 304, 'an unchanged page is not sent again')
  for (const accept of ['*/*', 'application/json, text/plain, */*', 'text/plain']) t.same((await anyone.get('/', { accept })).json(), SAID, accept)
  t.same((await anyone.get('/')).json(), SAID)
  for (const wrong of ['/chats', '/account', '/api/nothing', '/assets/', '/assets/nothing.js', '/assets/../index.html', '/assets/%2e%2e/index.html', '/index.html']) {
    const refused = await anyone.get(wrong, HTML)
    t.same([refused.statusCode, refused.json().code], [404, 'NOT_FOUND'], wrong)
  }
})

t.test('if the page was not built, / answers that the server is running', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(page, { folder: t.testdir({}) })
  t.same((await app.inject({ url: '/', headers: HTML })).json(), SAID)
})

t.test('the content security policy allows only the page’s own scripts and styles', { skip: notBuilt }, async t => {
  const { anyone } = await startApp(t)
  const policy = String((await anyone.get('/', HTML)).headers['content-security-policy'])
  t.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/)
  t.match(policy, /frame-ancestors 'none'/)
  t.notMatch(policy, /unsafe|data:|\*/)
  const html = readFileSync(path.join(folder, 'index.html'), 'utf8')
  t.notMatch(html, /<style|style=|<script(?![^>]*\bsrc=)|\son\w+=/, 'the page has no inline scripts or styles')
})

t.test('the page’s files are compressed, and may be cached for good', { skip: notBuilt }, async t => {
  const { anyone } = await startApp(t)
  for (const file of firstScreen().filter(file => file !== 'index.html')) {
    const plain = await anyone.get(`/${file}`)
    t.match(plain.headers, { 'cache-control': 'public, max-age=31536000, immutable', vary: /Accept-Encoding/ }, file)
    const gzip = await anyone.get(`/${file}`, { 'accept-encoding': 'gzip' })
    t.equal(gzip.headers['content-encoding'], 'gzip')
    t.equal(gzip.headers['content-type'], plain.headers['content-type'])
    t.equal(gunzipSync(gzip.rawPayload).toString(), plain.body)
    const brotli = await anyone.get(`/${file}`, { 'accept-encoding': 'gzip, deflate, br' })
    t.equal(brotli.headers['content-encoding'], 'br')
    t.equal(brotliDecompressSync(brotli.rawPayload).toString(), plain.body)
  }
})

t.test('the first screen is at most 150 kB with gzip', { skip: notBuilt }, async t => {
  const sizes = firstScreen().map(file => [file, gzipSync(readFileSync(path.join(folder, file))).length] as const)
  const sum = sizes.reduce((sum, [, size]) => sum + size, 0)
  t.ok(sum <= 150_000, `${(sum / 1000).toFixed(1)} kB: ${sizes.map(([file, size]) => `${file} ${size}`).join(', ')}`)
})

/** The files that a browser loads for the first screen: the document, the files that it names, and those that they import. */
function firstScreen () {
  const files = new Set(['index.html'])
  for (const file of files) {
    const text = readFileSync(path.join(folder, file), 'utf8')
    if (file.endsWith('.html')) for (const [, name] of text.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)) files.add(name!)
    if (file.endsWith('.js')) for (const [, name] of text.matchAll(/(?:\bimport|\bfrom)\s*["']\.\/([^"']+\.js)["']/g)) files.add(`assets/${name}`)
  }
  return [...files]
}
