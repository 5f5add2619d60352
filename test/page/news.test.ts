import t from 'tap'
import { barriers, noBrowser, openAt, openBrowser, serveToBrowsers, isTooWide } from '../support/browser.ts'
import { until } from '../support/process.ts'

t.test('the list and the title follow what happens, without a reload', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const { person } = await openBrowser(t)
  const { page } = await person()
  const { page: phone } = await person({ viewport: { width: 390, height: 800 }, colorScheme: 'dark' })
  for (const device of [page, phone]) {
    await openAt(device, url, bob.headers['cookie']!)
    await device.getByText('No conversations yet.').waitFor()
  }

  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  const other = (await ann.post('/api/conversations', { name: 'Other', bots: [] })).json().id
  for (const which of [id, other]) await ann.post(`/api/conversations/${which}/users`, { username: 'bob' })
  const entries = async (device: typeof page) => await device.locator('.entry-name').allTextContents()
  for (const device of [page, phone]) await until(async () => (await entries(device)).length === 2)

  await ann.post(`/api/conversations/${id}/messages`, { text: 'Dinner on Friday?' })
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Or on Saturday?' })
  for (const device of [page, phone]) {
    await device.getByRole('link', { name: /^Plans .* Or on Saturday\? 2 unread messages$/ }).waitFor()
    t.same(await entries(device), ['Plans', 'Other'], 'last used first')
    await until(async () => await device.title() === '(1) Parley')
    t.same(await barriers(device), [])
    t.notOk(await isTooWide(device))
  }

  await page.getByRole('link', { name: /^Plans/ }).click()
  await page.getByText('Dinner on Friday?').waitFor()
  await until(async () => await page.title() === 'Plans – Parley')
  await until(async () => await phone.title() === 'Parley')
  t.equal(await phone.locator('.unread').count(), 0, 'what is read on one device is read on the other')
  t.equal((await bob.get(`/api/conversations/${id}`)).json().unread, 0)

  await ann.post(`/api/conversations/${id}/messages`, { text: 'Friday it is.' })
  await page.locator('[data-message]', { hasText: 'Friday it is.' }).waitFor()
  await until(async () => (await bob.get(`/api/conversations/${id}`)).json().unread === 0)
  await until(async () => await page.locator('.unread').count() === 0) // what is open is read

  await ann.post(`/api/conversations/${other}/messages`, { text: 'Hello?' })
  await until(async () => await page.title() === '(1) Plans – Parley')
  await ann.put(`/api/conversations/${id}`, { name: 'Friday' })
  await page.getByRole('heading', { name: 'Friday' }).waitFor()
  await until(async () => await page.title() === '(1) Friday – Parley')
  await ann.delete(`/api/conversations/${other}`)
  await until(async () => (await entries(page)).join() === 'Friday')
  await until(async () => await page.title() === 'Friday – Parley')
  await ann.delete(`/api/conversations/${id}/users/${(await bob.get('/api/me')).json().id}`)
  await phone.getByText('No conversations yet.').waitFor()
})

t.test('a page that was offline catches up', { skip: noBrowser }, async t => {
  const { port, as } = await serveToBrowsers(t)
  // At the name localhost, the socket's client does not close the connection when the browser goes offline, and would notice it 45 seconds later.
  const url = `http://127.0.0.1:${port}`
  const [ann, bob] = [await as('ann'), await as('bob')]
  const { person } = await openBrowser(t)
  const { page, context } = await person()
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await openAt(page, url, bob.headers['cookie']!)
  await page.getByRole('link', { name: /^Plans/ }).waitFor()
  await context.setOffline(true)
  await page.getByText('You are offline.').waitFor()
  await ann.post(`/api/conversations/${id}/messages`, { text: 'While you were away' })
  await ann.put(`/api/conversations/${id}`, { name: 'Better plans' })
  await context.setOffline(false)
  await page.getByRole('link', { name: /^Better plans .* While you were away 1 unread message$/ }).waitFor()
  await until(async () => await page.title() === '(1) Parley')
})

t.test('the page says when the open conversation was deleted, or its user taken out, in the meantime', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const [ann, bob] = [await as('ann'), await as('bob')]
  const { person } = await openBrowser(t)
  const ways: Array<(id: number) => Promise<unknown>> = [
    id => ann.delete(`/api/conversations/${id}`),
    async id => await ann.delete(`/api/conversations/${id}/users/${(await bob.get('/api/me')).json().id}`)
  ]
  for (const end of ways) {
    const { page } = await person()
    const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
    await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
    await openAt(page, url, bob.headers['cookie']!, `#/c/${id}`)
    await page.getByText('No messages yet.').waitFor()
    await page.getByRole('link', { name: /^Plans/ }).waitFor()
    await end(id)
    await page.getByRole('alert').getByText('This conversation was deleted, or you are no longer a member.').waitFor()
    await page.getByText('No conversations yet.').waitFor()
    t.same(await barriers(page), [])
  }
})

t.test('an address that no conversation has, or can have, says the same as a conversation that was deleted', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  const { person } = await openBrowser(t)
  const { page } = await person()
  const refused = new Set<number>()
  page.on('response', response => { if (response.status() >= 400) refused.add(response.status()) })
  await openAt(page, url, ann.headers['cookie']!)
  for (const id of ['12345', '0', '00', '-1', '1.5', 'abc', '1/2', '9007199254740993', '999999999999999999999']) {
    await page.goto('about:blank')
    await page.goto(`${url}/#/c/${id}`)
    await page.getByRole('alert').getByText('This conversation was deleted, or you are no longer a member.').waitFor()
    await page.getByRole('heading', { level: 1, name: 'Conversation', exact: true }).waitFor()
    t.same(await barriers(page), [], id)
  }
  t.same([...refused], [404], 'the page asks for no id that the server refuses as invalid')

  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  await page.goto(`${url}/#/c/${id}`)
  await until(async () => await page.title() === 'Plans – Parley')
  await page.goto(`${url}/#/c/12345`)
  await until(async () => await page.title() === 'Parley')
})

t.test('an open conversation is read, also if it is too old for the list, or the connection was lost at that moment', { skip: noBrowser }, async t => {
  const { port, as } = await serveToBrowsers(t)
  const url = `http://127.0.0.1:${port}`
  const [ann, bob] = [await as('ann'), await as('bob')]
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Dinner on Friday?' })
  for (let at = 0; at < 31; at++) await bob.post('/api/conversations', { name: `Number ${at}`, bots: [] })
  const isRead = async () => (await bob.get(`/api/conversations/${id}`)).json().unread === 0
  const { person } = await openBrowser(t)
  const { page, context } = await person({ viewport: { width: 1100, height: 400 } })
  await openAt(page, url, bob.headers['cookie']!, `#/c/${id}`)
  await page.locator('[data-message]').getByText('Dinner on Friday?').waitFor()
  await until(isRead)
  t.equal(await page.getByRole('link', { name: /^Plans/ }).count(), 0)

  let lost = 0
  await page.route('**/read', async route => {
    lost++
    await route.abort()
  })
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Or on Saturday?' })
  await page.locator('[data-message]').getByText('Or on Saturday?').waitFor()
  await until(() => lost > 0)
  await context.setOffline(true)
  await page.getByText('You are offline.').waitFor()
  await page.unroute('**/read')
  t.notOk(await isRead())
  await context.setOffline(false)
  await until(isRead)
})

t.test('a page that stays open at midnight says what was yesterday', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans', bots: [] })).json()
  const [{ created_at: at }] = (await ann.post(`/api/conversations/${id}/messages`, { text: 'Dinner on Friday?' })).json()
  const { person } = await openBrowser(t)
  const { page } = await person({ timezoneId: 'UTC' })
  await page.clock.install()
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await page.getByRole('heading', { name: 'Today' }).waitFor()
  t.match(await page.locator('.entry time').textContent(), /:/, 'the list has the time of the message')
  // Of the timers, only those run whose time has come: a jump would end the connection, and what is then loaded is shown anew anyway.
  await page.clock.setSystemTime(Date.parse(`${at.slice(0, 10)}T00:00:05Z`) + 86_400_000)
  await page.getByRole('heading', { name: 'Yesterday' }).waitFor()
  t.notMatch(await page.locator('.entry time').textContent(), /:/, 'the list has its date')
})

t.test('a server on the same machine is asked while the browser has no network', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  await ann.post('/api/conversations', { name: 'Plans' })
  const { person } = await openBrowser(t)
  const { page } = await person()
  await openAt(page, url, ann.headers['cookie']!)
  await page.getByRole('link', { name: /^Plans/ }).waitFor()
  await page.evaluate("dispatchEvent(new Event('offline'))")
  await page.getByRole('link', { name: /^Plans/ }).click()
  await page.getByRole('button', { name: 'Conversation details' }).click()
  await page.getByRole('dialog').getByText('Owner').waitFor()
})
