import t from 'tap'
import type { Locator, Page } from 'playwright-core'
import { barriers, hasFocus, isTooWide, lostFocus, noBrowser, openBrowser, serveToBrowsers } from '../support/browser.ts'
import { startOpenIdProvider } from '../support/openid.ts'

// Signing in with an OpenID Connect provider in a browser, from the button to a chat. The provider is on another site.

t.setTimeout(600_000)

const VIEWS = [
  { where: '1280 px', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { where: '390 px', viewport: { width: 390, height: 800 }, colorScheme: 'light' },
  { where: '1280 px, dark', viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
  { where: '390 px, dark', viewport: { width: 390, height: 800 }, colorScheme: 'dark' }
] as const

/** A provider, and a server that signs its users in. The provider learns the server's address when that is known. */
async function startBoth (...[t, changes]: Parameters<typeof serveToBrowsers>) {
  const { issuer, change } = await startOpenIdProvider(t, () => ({
    claims: { profile: ['name'] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, name: `${id} of Acme` }) })
  }))
  const server = await serveToBrowsers(t, { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: 'parley', OIDC_NAME: 'Acme', ...changes })
  change({ clients: [{ client_id: 'parley', redirect_uris: [`${server.url}/api/oidc/callback`], token_endpoint_auth_method: 'none' }] })
  return { ...server, issuer }
}

const button = (page: Page) => page.getByRole('link', { name: 'Continue with Acme' })

/** Fills in the provider's forms: who it is and, at the first time, that this server may know it. */
async function signInThere (page: Page, login: string, { isFirst = true } = {}) {
  await page.locator('input[name=login]').fill(login)
  await page.locator('input[name=password]').fill('any')
  await page.keyboard.press('Enter')
  if (isFirst) await page.getByRole('button', { name: 'Continue' }).click()
}

t.test('a user signs in by keyboard, chats, and comes back to the same conversation', { skip: noBrowser }, async t => {
  const { url } = await startBoth(t, { PASSWORDS: 'off' })
  const { person } = await openBrowser(t)
  for (const [at, { where, ...options }] of VIEWS.entries()) {
    const { page, context } = await person({ ...options, reducedMotion: 'reduce' })
    const check = async (step: string, state: Locator) => {
      await state.waitFor()
      t.same(await barriers(page), [], `${step}, ${where}: axe finds nothing`)
      t.equal(await isTooWide(page), false, `${step}, ${where}: no horizontal scrolling`)
    }
    await page.goto(url)
    await check('the first screen', button(page))
    t.equal(await page.getByLabel('Password').count() + await page.getByRole('button', { name: 'Sign up' }).count() + await page.getByText('Forgot password?').count(), 0, 'nothing asks for a password')
    for (let presses = 0; presses < 10 && !await hasFocus(button(page)); presses++) await page.keyboard.press('Tab')
    t.ok(await hasFocus(button(page)), `${where}: the button is reached by Tab`)
    t.equal(await lostFocus(page), undefined, `${where}: the focus is visible`)
    await page.keyboard.press('Enter')
    await signInThere(page, `ann-${at}`)

    const composer = page.getByRole('textbox', { name: 'Message', exact: true })
    const isNarrow = options.viewport.width < 700
    await page.getByText('No conversations yet').waitFor()
    t.equal(new URL(page.url()).hash, '#/')
    await page.getByRole('link', { name: `ann-${at} of Acme, Account` }).waitFor()
    if (isNarrow) await page.getByRole('link', { name: 'New conversation' }).click()
    await composer.fill('Hello from Acme')
    await page.keyboard.press('Enter')
    await page.locator('.bot').getByText('You said: Hello from Acme').waitFor()
    await check('a conversation', composer)
    const conversation = page.url()

    await page.goto(`${url}/#/account`)
    await check('the account', page.getByRole('button', { name: 'Delete account' }))
    t.equal(await page.getByLabel('Current password').count(), 0, 'the account has no password to change')

    // The session ends elsewhere; the link to the conversation leads through the button back to it.
    await context.clearCookies({ name: 'session' })
    await page.goto(conversation)
    await page.reload()
    await button(page).click()
    await page.locator('.bot').getByText('You said: Hello from Acme').waitFor()
    t.equal(page.url(), conversation)

    await page.goto(`${url}/#/account`)
    await page.getByRole('button', { name: 'Delete account' }).click()
    await check('the question before deleting', page.getByRole('alertdialog'))
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete account' }).click()
    await check('the first screen after that', button(page))
    await context.close()
  }
})

t.test('beside passwords, two tabs, a cancelled sign-in, and a locked user', { skip: noBrowser }, async t => {
  const { url, query, as } = await startBoth(t)
  await as('bob')
  const { person } = await openBrowser(t)
  const { page, context } = await person({ viewport: { width: 390, height: 800 } })
  await page.goto(url)
  await button(page).waitFor()
  t.equal(await page.getByRole('button', { name: 'Sign up' }).count(), 1)
  t.same(await barriers(page), [])

  await button(page).click()
  await page.getByRole('link', { name: /Cancel/ }).click()
  await page.getByRole('alert').getByText('You were not signed in.').waitFor()
  t.same(await barriers(page), [])
  t.equal(await isTooWide(page), false)

  const tab = await context.newPage()
  await tab.goto(url)
  await button(tab).click()
  await tab.locator('input[name=login]').waitFor()
  await button(page).click()
  await signInThere(page, 'ann')
  await page.getByText('No conversations yet').waitFor()
  await signInThere(tab, 'ann', { isFirst: false })
  await tab.getByText('No conversations yet').waitFor()

  await page.reload()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await button(page).waitFor()
  await query('UPDATE users SET locked_at = now() WHERE username IS NULL')
  await button(page).click()
  await page.getByRole('alert').getByText('Your account is locked. Contact an administrator.').waitFor()
  await page.goto(`${url}/#sign-in-failed=INVENTED_CODE`)
  await page.getByRole('alert').getByText('Something went wrong while signing you in.').waitFor()
  await page.getByLabel('Username').fill('bob')
  await page.getByLabel('Password').fill('correct horse')
  await page.keyboard.press('Enter')
  await page.getByText('No conversations yet').waitFor()
  await page.getByRole('link', { name: 'bob, Account' }).waitFor()
})

t.test('with PASSWORDS=off no link leads to a form for passwords', { skip: noBrowser }, async t => {
  const { url } = await startBoth(t, { PASSWORDS: 'off' })
  const { person } = await openBrowser(t)
  const { page } = await person()
  for (const hash of ['#/forgot', '#reset-password=1.abc', '#invite=abc']) {
    await page.goto(`${url}/${hash}`)
    await page.reload()
    await button(page).waitFor()
    t.equal(await page.locator('input[type=password], input[type=email]').count(), 0, hash)
  }
  const tokensOnly = await serveToBrowsers(t, { PASSWORDS: 'off' })
  await page.goto(tokensOnly.url)
  await page.getByRole('textbox', { name: 'Phone number' }).waitFor()
  t.equal(await page.getByText('Your account').count(), 0, 'without a provider either, the page offers no sign-in')
})
