import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import root, { type Test } from 'tap'
import axe from 'axe-core'
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core'
import type { Config } from '../../src/config.ts'
import { createServer, type InlineConfig } from 'vite'
import { startApp } from './helper.ts'
import { freePort } from './process.ts'

// Tests of the page in a real browser.

export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
export const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'
]

/** For `skip` of `t.test`: why browser tests are skipped, or false. */
export const noBrowser = CHROMIUM === undefined || !existsSync('dist/web/index.html')
  ? `skipped: ${CHROMIUM === undefined ? 'there is no Chromium on this machine (Debian: apt-get install chromium)' : 'the page is not built (npm run build)'}`
  : false

/** How long tests wait for a state of the page, in milliseconds. It is long because the machine may be busy. */
const PATIENCE = 60_000

let launched: Promise<Browser> | undefined

/** Starts the browser, which all tests of a file share. */
function launch () {
  const launching = chromium.launch({ executablePath: CHROMIUM!, args: FLAGS })
  root.teardown(async () => { await (await launching).close() })
  return launching
}

/** A browser for a test. Each person has a separate browser context, with cookies of their own, until the test ends. */
export async function openBrowser (t: Test) {
  const browser = await (launched ??= launch())

  async function newContext (options: BrowserContextOptions = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, locale: 'en-GB', ...options })
    t.teardown(() => context.close())
    context.setDefaultTimeout(PATIENCE)
    return context
  }

  return {
    newContext,
    /** Opens the page of a person without cookies or stored data. Errors of the page and of its Content Security Policy fail the test. */
    async person (options: BrowserContextOptions = {}) {
      const context = await newContext(options)
      const page = await context.newPage()
      page.on('pageerror', error => { t.fail(error.message) })
      page.on('console', message => { if (/Content Security Policy|Trusted ?Type|React error/.test(message.text())) t.fail(message.text()) })
      return { page, context }
    }
  }
}

/** The accessibility violations that axe finds, of any severity. */
export async function barriers (page: Page) {
  await page.evaluate(`globalThis.axe === undefined && (() => { ${axe.source} })()`)
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run())
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`)
}

/** Whether this element has the keyboard focus. */
export async function hasFocus (locator: Locator) {
  return await locator.and(locator.page().locator(':focus')).count() === 1
}

/** Waits until this holds, which is drawn or moved later than what a test waited for. Returns whether it does. */
export async function comesTrue (holds: () => Promise<boolean>) {
  for (const end = performance.now() + PATIENCE; !await holds(); await sleep(50)) if (performance.now() > end) return false
  return true
}

/** Waits until this element has the keyboard focus. Returns whether it gets it. */
export const getsFocus = async (locator: Locator) => await comesTrue(async () => await hasFocus(locator))

const LOST_FOCUS = `(() => {
  const focused = document.activeElement
  if (focused === null || focused === document.body) return 'the body has the focus'
  const name = focused.outerHTML.slice(0, 120)
  const shown = focused.closest('.composer-row') ?? (focused.closest('.chip') === null ? focused : focused.nextElementSibling)
  const { x, y, width, height } = shown.getBoundingClientRect()
  if (width === 0 || y < 0 || y + Math.min(height, 20) > innerHeight || x < 0 || x > innerWidth) return 'out of view: ' + name
  const onTop = document.elementFromPoint(x + width / 2, y + Math.min(height / 2, 10))
  if (onTop === null || !(shown.contains(onTop) || onTop.contains(shown))) return 'covered: ' + name
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(shown)
  if ((outlineStyle === 'none' || outlineWidth === '0px') && boxShadow === 'none') return 'without an outline: ' + name
})()`

/**
 * Why a keyboard user cannot see the focus; undefined if they can. The focused element must be inside the window, not covered,
 * and have an outline. The composer and the chips show the outline around or beside the focused element.
 */
export async function lostFocus (page: Page) {
  return await page.evaluate(LOST_FOCUS) as string | undefined
}

/** Whether the page is wider than the window, so that a user has to scroll horizontally. */
export async function isTooWide (page: Page) {
  return await page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth') as boolean
}

/** An app that a browser reaches at `url`, on a fresh database. */
export async function serveToBrowsers (t: Test, changes: Partial<Config> = {}) {
  const port = await freePort()
  const server = await startApp(t, { PORT: port, ...changes })
  await server.app.listen({ host: '127.0.0.1', port })
  t.teardown(() => { server.app.server.keepAliveTimeout = 1 })
  return { ...server, port, url: `http://localhost:${port}` }
}

/** Serves what Vite serves to developers, at an origin of its own, against an API that lists it. */
export async function fromAnotherOrigin (t: Test, config: (api: string) => InlineConfig) {
  const origin = `http://localhost:${await freePort()}`
  const server = await serveToBrowsers(t, { CORS_ORIGINS: origin })
  const vite = await createServer({ logLevel: 'error', ...config(server.url), server: { port: Number(new URL(origin).port), strictPort: true } })
  t.teardown(() => vite.close())
  await vite.listen()
  return { ...server, origin, ...await openBrowser(t) }
}

/** Creates an account on the first screen. */
export async function signUp (page: Page, url: string, username: string) {
  await page.goto(url)
  await page.getByRole('button', { name: 'Sign up' }).first().click()
  await page.getByRole('textbox', { name: 'Username' }).fill(username)
  await page.getByLabel('New password').fill('correct horse')
  await page.locator('form', { has: page.getByLabel('New password') }).getByRole('button', { name: 'Sign up' }).click()
  await page.getByRole('link', { name: `${username}, Account` }).waitFor({ state: 'attached' })
}

/** Logs the browser in with a session cookie of the server, and opens the page at `hash`, such as a conversation. */
export async function openAt (page: Page, url: string, cookie: string, hash = '') {
  const [name, value] = cookie.split('=')
  await page.context().addCookies([{ name: name!, value: value!, url, httpOnly: true, sameSite: 'Lax' }])
  await page.goto(`${url}/${hash}`)
}
