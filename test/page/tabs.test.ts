import t from 'tap'
import { noBrowser, openAt, openBrowser, serveToBrowsers } from '../support/browser.ts'
import { until } from '../support/process.ts'

// The page in a real browser: many tabs, and a connection that is lost.

t.setTimeout(900_000)

/** Over HTTP/1.1, browsers open at most six connections to an origin. */
const TABS = 8

t.test('a conversation is live in more tabs than a browser opens connections', { skip: noBrowser }, async t => {
  const server = await serveToBrowsers(t)
  server.bots.takeOver()
  const { person } = await openBrowser(t)
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const { page, context } = await person()
  const tabs = [page]
  for (let at = 1; at < TABS; at++) tabs.push(await context.newPage())
  for (const tab of tabs) {
    await openAt(tab, server.url, ann.headers['cookie']!, `#/c/${id}`)
    await tab.getByText('No messages yet.').waitFor()
  }
  await page.getByRole('textbox', { name: 'Message' }).fill('Are you all there?')
  await page.keyboard.press('Enter')
  const call = await server.bots.call()
  call.say('All ')
  for (const tab of tabs) {
    await tab.locator('.mine').getByText('Are you all there?').waitFor()
    await tab.locator('.bot').getByText('All').waitFor()
  }
  call.say('of us.')
  call.end()
  for (const tab of tabs) {
    await tab.locator('.bot').getByText('All of us.').waitFor()
    t.equal(await tab.locator('.message').count(), 2)
  }
  await ann.put(`/api/conversations/${id}`, { name: 'Renamed' })
  for (const tab of tabs) await tab.getByRole('link', { name: /^Renamed/ }).waitFor()
})

t.test('messages that are written offline wait, in their order, also when the user leaves the conversation', { skip: noBrowser }, async t => {
  const { url, as, slowChat, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const ann = await as('ann')
  const id = await slowChat(ann)
  await ann.post('/api/conversations', { name: 'Other', bots: [] })
  const { page, context } = await person()
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await page.getByText('No messages yet.').waitFor()
  await page.getByRole('link', { name: /^Other/ }).waitFor()
  await context.setOffline(true)
  for (const text of ['One', 'Two', 'Three']) {
    await page.getByRole('textbox', { name: 'Message' }).fill(text)
    await page.keyboard.press('Enter')
  }
  await until(async () => await page.getByText('Not sent yet').count() === 3)
  await page.locator('.message', { hasText: 'Two' }).getByRole('button', { name: 'Discard' }).click()
  await page.getByRole('link', { name: /^Other/ }).click()
  await page.getByRole('heading', { level: 1, name: 'Other' }).waitFor()
  await page.getByRole('link', { name: /^Slow/ }).click()
  await until(async () => await page.getByText('Not sent yet').count() === 2)
  await page.getByRole('link', { name: /^Other/ }).click()
  await page.getByRole('heading', { level: 1, name: 'Other' }).waitFor()
  await context.setOffline(false)
  await page.getByRole('link', { name: /^Slow .* Slowly: Three/ }).waitFor()
  t.same((await query("SELECT text FROM messages WHERE sender = 'user' ORDER BY id")).map(({ text }) => text), ['One', 'Three'])
  await page.getByRole('link', { name: /^Slow/ }).click()
  await page.locator('.bot').getByText('Slowly: Three').waitFor()
  t.equal(await page.getByText('Not sent yet').count(), 0)
})

t.test('messages that wait for a sign-in are sent when the user has signed in in another tab', { skip: noBrowser }, async t => {
  const { url, as, slowChat, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const ann = await as('ann')
  const id = await slowChat(ann)
  const { page, context } = await person()
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await page.getByText('No messages yet.').waitFor()
  const { promise: ended, resolve: goOn } = Promise.withResolvers<void>()
  await page.route('**/messages', async route => { await ended; await route.fallback() })
  await page.getByRole('textbox', { name: 'Message' }).fill('Hello!')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Sending…').waitFor()
  await query('UPDATE sessions SET revoked_at = now()')
  goOn()
  await page.getByLabel('Password').waitFor()

  const other = await context.newPage()
  await other.goto(url)
  await other.getByLabel('Username').fill('ann')
  await other.getByLabel('Password').fill('correct horse')
  await other.keyboard.press('Enter')
  await other.getByRole('link', { name: /^Slow/ }).waitFor()
  t.same(await query("SELECT text FROM messages WHERE sender = 'user'"), [])
  await page.evaluate("window.dispatchEvent(new Event('visibilitychange'))")
  await page.locator('.bot').getByText('Slowly: Hello!').waitFor()
  t.same(await query("SELECT text FROM messages WHERE sender = 'user'"), [{ text: 'Hello!' }])
})

t.test('a message that waits for a connection is not sent when another user signs in, in another tab', { skip: noBrowser }, async t => {
  const { url, as, slowChat, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const id = await slowChat(ann)
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  const { page, context } = await person()
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await page.getByText('No messages yet.').waitFor()
  let isLost = true
  for (const path of ['**/messages', '**/api/me']) await page.route(path, async route => { await (isLost ? route.abort() : route.fallback()) })
  await page.getByRole('textbox', { name: 'Message' }).fill('Ann’s words')
  await page.keyboard.press('Enter')
  await page.getByText('Not sent yet').waitFor()

  const other = await context.newPage()
  await openAt(other, url, bob.headers['cookie']!)
  await other.getByRole('link', { name: /^Slow/ }).waitFor()
  isLost = false
  await page.getByRole('link', { name: 'bob, Account' }).waitFor()
  await page.getByText('No messages yet.').waitFor()
  t.same(await query('SELECT text FROM messages'), [])
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}')
})

t.test('a message that waits until its author signs in is not sent when another user signs in, in another tab', { skip: noBrowser }, async t => {
  const { url, as, slowChat, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const [ann] = [await as('ann'), await as('bob')]
  const id = await slowChat(ann)
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  const { page, context } = await person()
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await page.getByText('No messages yet.').waitFor()
  await page.route('**/messages', async route => {
    await query('UPDATE sessions SET revoked_at = now()') // not before, or else the page might ask to sign in while the test still writes
    await route.fallback()
  }, { times: 1 })
  await page.getByRole('textbox', { name: 'Message' }).fill('Ann’s words')
  await page.keyboard.press('Enter')
  await page.getByLabel('Password').waitFor()

  const other = await context.newPage()
  await other.goto(url)
  await other.getByLabel('Username').fill('bob')
  await other.getByLabel('Password').fill('correct horse')
  await other.keyboard.press('Enter')
  await other.getByRole('link', { name: /^Slow/ }).waitFor()
  const sent: string[] = []
  page.on('request', request => { if (request.method() === 'POST') sent.push(request.url()) })
  await context.setOffline(true)
  await page.waitForFunction('!navigator.onLine')
  await context.setOffline(false)
  await page.waitForFunction('navigator.onLine')
  await page.evaluate("window.dispatchEvent(new Event('visibilitychange'))")
  await page.getByRole('link', { name: 'bob, Account' }).waitFor()
  t.same(sent, [])
  t.same(await query('SELECT text FROM messages'), [])
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}')
})
