import t, { type Test } from 'tap'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Locator, Page } from 'playwright-core'
import react from '@vitejs/plugin-react'
import { barriers, comesTrue, fromAnotherOrigin, getsFocus, isTooWide, noBrowser, openAt, openBrowser, serveToBrowsers, signUp } from '../support/browser.ts'
import { isDocumented } from '../support/front-end.ts'
import { freePort, layCable, openPlace, until } from '../support/process.ts'
import { isStored } from '../support/slow-replies.ts'

// The page in a real browser: accounts, links in emails, other origins, and a server that restarts.

t.setTimeout(900_000)

const PASSWORD = 'correct horse'
const formWith = (page: Page, label: string) => page.locator('form', { has: page.getByLabel(label, { exact: true }) })
const field = (form: Locator, name: string) => form.getByRole('textbox', { name })
const isOnFirstScreen = async (page: Page) => { await page.getByRole('heading', { name: 'Say hello.' }).waitFor() }

async function logIn (page: Page, username: string, password: string) {
  await page.getByLabel('Username').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.keyboard.press('Enter')
}

const isLoggedIn = async (page: Page) => { await page.getByRole('navigation', { name: 'Conversations' }).waitFor({ state: 'attached' }) }

/** Holds requests to this path back until `goOn`, and counts them. */
async function hold (page: Page, path: string) {
  const { promise, resolve } = Promise.withResolvers<void>()
  let count = 0
  await page.route(path, async route => {
    count++
    await promise
    await route.fallback()
  })
  return { goOn: resolve, count: () => count }
}

t.test('links in emails confirm an address and reset a forgotten password', { skip: noBrowser }, async t => {
  const DATA_DIR = t.testdir({})
  const { url, work } = await serveToBrowsers(t, { DATA_DIR })
  await work()
  const { person } = await openBrowser(t)
  const { page } = await person()
  await page.goto(url)
  await page.getByRole('button', { name: 'Sign up' }).first().click()
  await page.getByLabel('Username').fill('ann')
  await page.getByLabel('New password').fill(PASSWORD)
  await page.getByLabel('Email (optional)').fill('ann.example.com')
  await page.keyboard.press('Enter')
  await page.getByText('Enter an email address').waitFor()
  await page.getByLabel('Email (optional)').fill('ann@example.com')
  await page.keyboard.press('Enter')
  await isLoggedIn(page)
  const verification = await linkIn(path.join(DATA_DIR, 'mail', 'verify-email-1.eml'))
  t.ok(verification.startsWith(`${url}/#verify-email=`))
  await page.goto(verification)
  await page.getByRole('heading', { name: 'Your email address is confirmed.' }).waitFor()
  t.same(await barriers(page), [])

  const elsewhere = (await person()).page
  await elsewhere.goto(url)
  await logIn(elsewhere, 'ann', 'wrong horse')
  await elsewhere.getByText('The username or password is incorrect.').waitFor()
  await elsewhere.getByRole('link', { name: 'Forgot password?' }).press('Enter')
  t.ok(await getsFocus(elsewhere.getByLabel('Email')))
  await elsewhere.getByLabel('Email').fill('ann@example.com')
  t.same(await barriers(elsewhere), [])
  await elsewhere.keyboard.press('Enter')
  await elsewhere.getByText('we have sent a link to it').waitFor()
  const reset = await linkIn(path.join(DATA_DIR, 'mail', 'reset-password-2.eml'))
  await elsewhere.goto(reset)
  await elsewhere.getByLabel('New password').fill('password123')
  await elsewhere.keyboard.press('Enter')
  await elsewhere.getByText('This password is too easy to guess.').waitFor()
  await elsewhere.getByLabel('New password').fill('another horse')
  await elsewhere.keyboard.press('Enter')
  await elsewhere.getByText('Your password was reset').waitFor()
  await elsewhere.getByRole('link', { name: 'Sign in' }).click()
  await logIn(elsewhere, 'ann', 'another horse')
  await isLoggedIn(elsewhere)

  await elsewhere.goto(reset)
  await elsewhere.getByLabel('New password').fill('a third horse')
  await elsewhere.keyboard.press('Enter')
  await elsewhere.getByText('This link is invalid or has expired').waitFor()
  await page.goto(`${url}/#/account`)
  await page.getByText('Your session has ended').waitFor({ state: 'attached' }).catch(() => isOnFirstScreen(page))
})

t.test('a second link that is opened in the same tab counts, too', { skip: noBrowser }, async t => {
  const { url } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person()
  const tokens: string[] = []
  await page.route('**/api/email/verify', async route => {
    tokens.push(route.request().postDataJSON().token)
    await route.fallback()
  })
  for (const token of ['one', 'two']) {
    await page.goto(`${url}/#verify-email=${token}`)
    t.ok(await comesTrue(async () => tokens.at(-1) === token), token)
    await page.getByText('This link is invalid or has expired.').waitFor()
  }
  await page.route('**/api/password/reset', async route => { await route.fulfill({ status: 204 }) })
  await page.goto(`${url}/#reset-password=one`)
  await page.getByLabel('New password').fill('another horse')
  await page.keyboard.press('Enter')
  await page.getByText('Your password was reset').waitFor()
  await page.goto(`${url}/#reset-password=two`)
  await page.getByLabel('New password').waitFor()
})

t.test('the page offers to sign up only if the server allows it, or with an invitation link', { skip: noBrowser }, async t => {
  const closed = await serveToBrowsers(t, { SIGNUP: 'closed' })
  const { url, app, query, clientOf } = await serveToBrowsers(t, { SIGNUP: 'invite' })
  const { person } = await openBrowser(t)
  const { page } = await person()
  const signUpButton = page.getByRole('button', { name: 'Sign up' })
  await page.goto(closed.url)
  await page.getByText('Accounts are created by an administrator.').waitFor()
  t.equal(await signUpButton.count(), 0)
  await page.goto(url)
  await page.getByText('Open the link in your invitation').waitFor()
  t.equal(await signUpButton.count(), 0)
  t.same(await barriers(page), [])

  await query("INSERT INTO users (username, username_key, role) VALUES ('ada', 'ada', 'admin')")
  const [{ id }] = await query("INSERT INTO sessions (user_id, kind, expires_at) SELECT id, 'cookie', now() + interval '1 day' FROM users RETURNING id::int")
  const ada = clientOf({ authorization: `Bearer ${app.jwt.sign({ sid: id, kind: 'cookie' }, { expiresIn: 60 })}` })
  const { link } = (await ada.post('/api/admin/invitations', {})).json()
  t.ok(link.startsWith(`${url}/#invite=`))
  const accept = async (page: Page, username: string) => {
    await page.goto(link)
    await page.getByLabel('Username').fill(username)
    await page.getByLabel('New password').fill(PASSWORD)
    await page.keyboard.press('Enter')
  }
  await accept(page, 'ann')
  await isLoggedIn(page)
  await page.waitForURL(`${url}/#/`)
  const second = (await person()).page
  await accept(second, 'bob')
  await second.getByText('This invitation was already used').waitFor()
  t.same(await query('SELECT username FROM users ORDER BY id'), [{ username: 'ada' }, { username: 'ann' }])
})

t.test('a user edits the profile, signs out another device, changes the password, downloads the data and deletes the account', { skip: noBrowser }, async t => {
  const { url, as, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person()
  await signUp(page, url, 'ann')
  await as('bob')
  await page.getByRole('link', { name: /Account/ }).click()

  const profile = formWith(page, 'Phone number')
  await field(profile, 'Name').fill('Ann A.')
  await field(profile, 'Phone number').fill('many')
  await profile.getByRole('button', { name: 'Save' }).click()
  await profile.locator('.problem').waitFor()
  await field(profile, 'Phone number').fill('+49 30 12345')
  await profile.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  await page.getByRole('link', { name: 'Ann A., Account' }).waitFor()

  const signIn = formWith(page, 'Email')
  await field(signIn, 'Username').fill('bob')
  await signIn.getByLabel('Current password').fill('wrong horse')
  await signIn.getByRole('button', { name: 'Save' }).click()
  await signIn.getByText('The password is incorrect.').waitFor()
  await signIn.getByLabel('Current password').fill(PASSWORD)
  await signIn.getByRole('button', { name: 'Save' }).click()
  await signIn.getByText('This username is already taken.').waitFor()
  await field(signIn, 'Username').fill('anna')
  await field(signIn, 'Email').fill('anna@example.com')
  await signIn.getByLabel('Current password').fill(PASSWORD)
  await signIn.getByRole('button', { name: 'Save' }).click()
  await page.locator('.account').getByText('Not confirmed yet').waitFor()
  const resent = await hold(page, '**/api/email/resend')
  await page.locator('.account').getByRole('button', { name: 'Resend email' }).dblclick()
  resent.goOn()
  await page.getByText('Email sent.').waitFor()
  t.equal(resent.count(), 1, 'a double click sends one email')
  t.match(await query("SELECT username, name, phone_number, email FROM users WHERE name = 'Ann A.'"), [{ username: 'anna', phone_number: '+49 30 12345', email: 'anna@example.com' }])

  const other = (await person({ userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' })).page
  await other.goto(url)
  await logIn(other, 'anna', PASSWORD)
  await isLoggedIn(other)
  await page.reload()
  await page.getByText('Firefox · Linux').waitFor()
  t.same(await barriers(page), [])
  t.equal(await isTooWide(page), false)
  await page.locator('.rows').getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('Firefox · Linux').waitFor({ state: 'hidden' })
  await isOnFirstScreen(other)
  await other.getByText('Your session has ended.').waitFor()

  const password = formWith(page, 'New password')
  await password.getByLabel('Current password').fill(PASSWORD)
  await password.getByLabel('New password').fill('another horse')
  await password.getByRole('button', { name: 'Change password' }).click()
  await page.getByText('Your password was changed.').waitFor()

  const download = page.waitForEvent('download')
  await page.getByRole('link', { name: 'Download data' }).click()
  const exported = JSON.parse(readFileSync(await (await download).path(), 'utf8'))
  t.match(JSON.stringify(exported), /"anna"/)

  const end = page.locator('form', { has: page.getByRole('button', { name: 'Delete account' }) })
  await end.getByLabel('Current password').fill('another horse')
  await end.getByRole('button', { name: 'Delete account' }).click()
  await isOnFirstScreen(page)
  t.same(await query("SELECT FROM users WHERE username = 'anna'"), [])
})

t.test('after another username is chosen, the messages that are loaded stay the user’s own', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Notes', bots: [] })).json()
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Buy milk' })
  const { person } = await openBrowser(t)
  const { page } = await person()
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await page.locator('.mine').getByText('Buy milk').waitFor()
  await page.getByRole('link', { name: /Account/ }).click()
  const signIn = formWith(page, 'Email')
  await field(signIn, 'Username').fill('anna')
  await signIn.getByLabel('Current password').fill(PASSWORD)
  await signIn.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('link', { name: 'anna, Account' }).waitFor()
  await page.getByRole('link', { name: /^Notes/ }).click()
  await page.locator('.message', { hasText: 'Buy milk' }).waitFor()
  t.equal(await page.locator('.mine').count(), 1)
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByLabel('Edit message').fill('Buy oat milk')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Buy oat milk').waitFor()
})

t.test('a profile that was changed in another tab is not set back by a form that was open here', { skip: noBrowser }, async t => {
  const { url, as, query } = await serveToBrowsers(t)
  const ann = await as('ann')
  await ann.patch('/api/me', { name: 'Ann' })
  const { person } = await openBrowser(t)
  const { page } = await person()
  await openAt(page, url, ann.headers['cookie']!, '#/account')
  const [profile, signIn] = [formWith(page, 'Phone number'), formWith(page, 'Email')]
  await field(profile, 'Phone number').fill('+49 30 12345')
  await ann.patch('/api/me', { name: 'Ann A.', phone_number: '+49 30 9', username: 'anna', current_password: PASSWORD })
  await page.evaluate("window.dispatchEvent(new Event('visibilitychange'))")
  await page.getByRole('link', { name: 'Ann A., Account' }).waitFor()
  t.equal(await field(profile, 'Name').inputValue(), 'Ann A.')
  t.equal(await field(profile, 'Phone number').inputValue(), '+49 30 12345', 'what was typed stays')
  await profile.getByRole('button', { name: 'Save' }).click()
  await profile.getByText('Saved.').waitFor()
  await field(signIn, 'Email').fill('ann@example.com')
  await signIn.getByLabel('Current password').fill(PASSWORD)
  await signIn.getByRole('button', { name: 'Save' }).click()
  await signIn.getByText('Saved.').waitFor()
  t.same(await query('SELECT username, name, phone_number, email FROM users'), [{ username: 'anna', name: 'Ann A.', phone_number: '+49 30 12345', email: 'ann@example.com' }])
})

t.test('if signing out fails, the page says that the user is still signed in', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  const { person } = await openBrowser(t)
  const { page } = await person({ viewport: { width: 320, height: 600 } })
  await openAt(page, url, ann.headers['cookie']!)
  await page.getByText('No conversations yet.').waitFor()
  await page.route('**/api/logout', route => route.abort(), { times: 1 })
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('alert').getByText('You are still signed in. The server cannot be reached.').waitFor()
  t.same(await barriers(page), [])
  t.equal(await isTooWide(page), false)
  const signingOut = await hold(page, '**/api/logout')
  await page.getByRole('button', { name: 'Sign out' }).dblclick()
  signingOut.goOn()
  await isOnFirstScreen(page)
  t.equal(signingOut.count(), 1, 'a double click signs out once')
  t.equal(await page.getByText('Your session has ended.').count(), 0)
})

t.test('the list loads more conversations while the user scrolls, and signing out clears the screen', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  for (let at = 1; at <= 70; at++) await ann.post('/api/conversations', { name: `Plan ${at}` })
  const { person } = await openBrowser(t)
  const { page } = await person()
  await openAt(page, url, ann.headers['cookie']!)
  await page.getByRole('link', { name: 'Plan 70' }).waitFor()
  t.equal(await page.getByRole('link', { name: 'Plan 1 ' }).count(), 0)
  await until(async () => {
    await page.locator('.entry').last().scrollIntoViewIfNeeded()
    return await page.locator('.entry').count() === 70
  })
  await page.getByRole('button', { name: 'Sign out' }).click()
  await isOnFirstScreen(page)
  t.equal(await page.locator('.entry').count(), 0)
  t.equal((await page.context().cookies()).length, 0)
})

t.test('an open page survives a server that is killed and restarted', { skip: noBrowser }, async t => {
  const place = await openPlace(t)
  const settings = { PORT: String(await freePort()) }
  const server = await place.serve(settings)
  const url = `http://localhost:${settings.PORT}`
  const { person } = await openBrowser(t)
  const { page, context } = await person()
  await signUp(page, url, 'ann')
  const say = async (text: string) => {
    await page.getByRole('textbox', { name: 'Message' }).fill(text)
    await page.keyboard.press('Enter')
  }
  await say('One')
  await page.getByText('You said: One').first().waitFor()
  server.kill('SIGKILL')
  await server.ended
  await page.getByText('You are offline.').waitFor()
  await say('Two')
  await page.getByText('Not sent yet').waitFor()
  t.same(await barriers(page), [])
  t.equal(await page.getByText('You said: One').first().isVisible(), true, 'earlier messages stay readable')

  const again = await place.serve(settings)
  await page.locator('.bot').getByText('You said: Two').waitFor()
  await page.getByText('You are offline.').waitFor({ state: 'hidden' })
  await page.getByText('Not sent yet').waitFor({ state: 'hidden' })
  const cookie = { cookie: (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ') }
  const [{ id }] = (await again.get('/api/conversations', undefined, cookie)).body
  await again.post(`/api/conversations/${id}/messages`, { text: 'Three' }, cookie)
  await page.locator('.mine').getByText('Three').waitFor()
  const { body } = await again.get(`/api/conversations/${id}/messages`, undefined, cookie)
  t.same(body.map(({ text }: { text: string }) => text), ['One', 'You said: One', 'Two', 'You said: Two', 'Three', 'You said: Three'], 'each message once')
  t.same(await page.locator('.mine .plain').allTextContents(), ['One', 'Two', 'Three'])
})

t.test('the page of npm run dev:web works at a different origin from the API, with cookies', { skip: noBrowser }, async t => {
  const { origin, person } = await fromAnotherOrigin(t, api => ({ configFile: 'web/vite.config.ts', root: 'web', define: { 'import.meta.env.VITE_API_URL': JSON.stringify(api) } }))
  const { page } = await person()
  await signUp(page, origin, 'ann')
  await page.getByRole('textbox', { name: 'Message' }).fill('From elsewhere')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('You said: From elsewhere').waitFor()
  await page.reload()
  await page.locator('.bot').getByText('You said: From elsewhere').waitFor()
})

/** The front end in docs/frontend.md, which reaches the server through a cable, and a conversation with a bot that says what the test makes it say. */
async function openDocumented (t: Test) {
  const root = t.testdir({
    'index.html': '<div id="root"></div><script type="module" src="/main.tsx"></script>',
    'main.tsx': `import { createRoot } from 'react-dom/client'
      import App from '${path.resolve('docs/frontend/app.tsx')}'
      createRoot(document.getElementById('root')).render(<App />)`
  })
  let address = ''
  const server = await fromAnotherOrigin(t, () => ({
    configFile: false,
    root,
    plugins: [react(), { name: 'test-address', enforce: 'pre', transform: code => code.replace('http://localhost:5000', address) }]
  }))
  const cable = await layCable(t, { host: '127.0.0.1', port: server.port })
  await cable.open()
  address = `http://localhost:${cable.port}`
  server.bots.takeOver()
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const { page } = await server.person()
  return {
    ...server,
    cable,
    page,
    async open () {
      await page.goto(server.origin)
      await page.locator('input[name=username]').fill('ann')
      await page.locator('input[name=password]').fill(PASSWORD)
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Slow' }).click()
    },
    async write (text: string) {
      await page.locator('input[name=text]').fill(text)
      await page.keyboard.press('Enter')
    },
    shows: async (text: string) => { await page.getByText(text, { exact: true }).waitFor() },
    /** Sends a message from another device. Resolves when the reply has ended. */
    sendElsewhere: async (text: string) => await ann.post(`/api/conversations/${id}/messages`, { text }),
    async reply (nth: number, text: string) {
      const { say, end } = await server.bots.call(nth)
      say(text)
      end()
    }
  }
}

t.test('the front end in docs/frontend.md works', { skip: noBrowser }, async t => {
  t.ok(isDocumented('app.tsx'), 'it is the one that runs here')
  const { bots, page, open, write, shows, sendElsewhere, reply } = await openDocumented(t)
  await open()
  await write('Hello')
  const call = await bots.call()
  call.say('Well, ')
  await page.getByText('slow: Well,').waitFor()
  call.say('hello.')
  await shows('slow: Well, hello.')
  call.end()
  await open()
  await shows('slow: Well, hello.')
  const sent = sendElsewhere('From another device')
  await shows('ann: From another device')
  await reply(2, 'Yes')
  await sent
})

t.test('the front end in docs/frontend.md misses nothing, also if the server is busy when the connection is back, and it is lost again', { skip: noBrowser }, async t => {
  const { db, cable, page, open, write, shows, sendElsewhere, reply } = await openDocumented(t)
  await open()
  await write('Before')
  await reply(1, 'Yes')
  await shows('slow: Yes')

  await cable.close()
  const missed = sendElsewhere('Missed')
  await reply(2, 'Missed, too')
  await missed
  const query = db.$client.query.bind(db.$client) as (...args: Array<{ name?: string }>) => Promise<unknown>
  const refused = new Promise<void>(resolve => {
    const fails = ['sessions', 'news'] // the connection, and then join_chat
    db.$client.query = (async (...args: Array<{ name?: string }>) => {
      if (args[0]!.name !== fails[0]) return await query(...args)
      if (fails.shift() === 'news') {
        db.$client.query = query as never
        resolve()
      }
      throw new Error('timeout exceeded when trying to connect')
    }) as never
  })
  await cable.open()
  await refused
  await write('After')
  await reply(3, 'No')
  await shows('slow: No')
  await cable.close()
  await cable.open()
  await shows('slow: Missed, too')
  t.same(await page.locator('p').allTextContents(), ['ann: Before', 'slow: Yes', 'ann: Missed', 'slow: Missed, too', 'ann: After', 'slow: No'])

  await page.evaluate(`fetch('http://localhost:${cable.port}/api/logout', { method: 'POST', credentials: 'include' })`)
  await page.locator('input[name=password]').waitFor()
})

t.test('in the front end in docs/frontend.md, a reply grows without gaps, also if much arrives at once', { skip: noBrowser }, async t => {
  const front = await openDocumented(t)
  const { bots, page, open, write, shows, sendElsewhere } = front
  // Without WebSockets, what happens between two polls arrives at once.
  await page.routeWebSocket(/socket\.io/, socket => socket.close())
  let polls = 0
  let held = Infinity
  let release = () => {}
  await page.route(/socket\.io.*polling/, async route => {
    if (route.request().method() === 'GET' && ++polls >= held) await new Promise<void>(resolve => { release = resolve })
    await route.continue()
  })
  const letGo = () => {
    held = Infinity
    release()
  }

  await open()
  await until(() => polls > 2)
  await write('Hello')
  const first = await bots.call()
  first.say('One')
  await shows('slow: One')

  polls = 0
  held = 3 // the first two connect
  await open()
  await until(() => polls === 3)
  first.say(' two')
  await isStored(front, 2, 'One two')
  letGo()
  await shows('slow: One two')
  first.say(' three')
  await shows('slow: One two three')
  first.end()
  await isStored(front, 2, 'One two three')

  held = polls + 1
  const sent = sendElsewhere('From another device')
  await until(() => polls === held);
  (await bots.call(2)).end()
  await sent
  await write('And now?')
  const third = await bots.call(3)
  third.say('Four')
  await isStored(front, 8, 'Four')
  letGo()
  await shows('ann: And now?')
  third.say(' five')
  await shows('slow: Four five')
  third.end()
})

/** Waits for the file of an email, and returns the link in it. */
async function linkIn (file: string) {
  await until(() => existsSync(file))
  return await until(() => /^http:\S+$/m.exec(readFileSync(file, 'utf8'))?.[0])
}

t.test('a phone chat has its own URL: Back leaves it, Forward and a reload show it again', { skip: noBrowser }, async t => {
  const { url } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person({ viewport: { width: 390, height: 800 } })
  await page.goto(url)
  await page.getByRole('textbox', { name: 'Phone number' }).fill('+49 170 1234567')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${url}/#/phone/${encodeURIComponent('+49 170 1234567')}`)
  await page.getByRole('textbox', { name: 'Message' }).fill('hello')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('What is your name?').waitFor()
  await page.goBack()
  await isOnFirstScreen(page)
  await page.goForward()
  await page.locator('.bot').getByText('What is your name?').waitFor()
  await page.reload()
  await page.locator('.mine').getByText('hello').waitFor()
  await page.locator('.bot').getByText('What is your name?').waitFor()
  t.same(await barriers(page), [])
  t.equal(await isTooWide(page), false)
  await page.goto(`${url}/#/phone/%E0%A4%A`)
  await isOnFirstScreen(page)
})

t.test('on a small screen, the problem of a form is in view', { skip: noBrowser }, async t => {
  const { url, work } = await serveToBrowsers(t, { DATA_DIR: t.testdir({}), RATE_LIMITS: 'on', RATE_LIMIT_ENTRY: 1 })
  await work()
  const { person } = await openBrowser(t)
  const { page } = await person({ viewport: { width: 390, height: 500 } })
  await page.goto(url)
  await page.getByRole('button', { name: 'Sign up' }).first().click()
  /** Submits the form while the edge of the screen is right below the password, and waits for a problem in view. */
  async function problemInView (password: string, problem: string) {
    await page.getByLabel('New password').fill(password)
    await page.evaluate("document.activeElement.scrollIntoView({ block: 'end' })")
    await page.keyboard.press('Enter')
    const shown = page.locator('.problem').getByText(problem)
    await shown.waitFor()
    const { y, height } = (await shown.boundingBox())!
    t.ok(y >= 0 && y + height <= 500, `${problem} is at ${y}`)
  }
  await page.getByLabel('Username').fill('ann')
  await problemInView('password123', 'This password is too easy to guess.')
  await problemInView(PASSWORD, 'Too many requests')
})

t.test('the sign-up form mentions the confirmation email, and shows each error below its field', { skip: noBrowser }, async t => {
  const { url, as, query, work } = await serveToBrowsers(t, { DATA_DIR: t.testdir({}) })
  await work()
  await as('bob')
  const { person } = await openBrowser(t)
  const { page } = await person({ viewport: { width: 390, height: 800 }, colorScheme: 'dark' })
  await page.goto(url)
  await page.getByRole('button', { name: 'Sign up' }).first().click()
  await page.getByText('We will send you a link to confirm it.').waitFor()
  const [unselected, selected] = await Promise.all(['false', 'true'].map(async pressed =>
    await page.evaluate(`getComputedStyle(document.querySelector('.switch [aria-pressed=${pressed}]')).backgroundColor`)))
  t.not(unselected, selected)
  /** The error below a field. */
  const below = (label: string) => page.locator('.field', { has: page.getByLabel(label, { exact: true }) }).locator('.problem')
  await page.getByLabel('Username').fill('bob')
  await page.getByLabel('New password').fill('password123')
  await page.getByLabel('Email (optional)').fill('ann@example.com')
  await page.keyboard.press('Enter')
  await below('New password').getByText('This password is too easy to guess.').waitFor()
  await page.getByLabel('New password').fill(PASSWORD)
  await page.keyboard.press('Enter')
  await below('Username').getByText('This username is already taken.').waitFor()
  t.same(await barriers(page), [])
  await page.getByLabel('Username').fill('ann')
  await page.keyboard.press('Enter')
  await page.getByText('open the link that we sent to ann@example.com').waitFor()
  t.same(await barriers(page), [])

  await page.goto(`${url}/#/account`)
  const password = formWith(page, 'New password')
  await password.getByLabel('Current password').fill('wrong horse')
  await password.getByLabel('New password').fill('another horse')
  await page.keyboard.press('Enter')
  await password.locator('.field', { has: page.getByLabel('Current password') }).getByText('The password is incorrect.').waitFor()

  await page.goto(`${url}/#/`)
  const resent = await hold(page, '**/api/email/resend')
  await page.getByRole('button', { name: 'Resend email' }).dblclick()
  resent.goOn()
  await page.getByText('Email sent.').waitFor()
  t.equal(resent.count(), 1, 'a double click sends one email')
  await query("UPDATE users SET email_verified_at = now() WHERE username = 'ann'")
  await page.reload()
  await page.getByText('No conversations yet').waitFor()
  t.equal(await page.getByText('open the link that we sent').count(), 0)
})

t.test('the page shows Loading… until its script runs', { skip: noBrowser }, async t => {
  const { url } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person({ javaScriptEnabled: false })
  await page.goto(url)
  await page.getByText('Loading…').waitFor()
})
