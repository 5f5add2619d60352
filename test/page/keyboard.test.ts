import t from 'tap'
import type { Locator } from 'playwright-core'
import { barriers, comesTrue, getsFocus, hasFocus, isTooWide, lostFocus, noBrowser, openAt, openBrowser, serveToBrowsers } from '../support/browser.ts'

// The whole page, used by keyboard only. At each step axe finds nothing, nothing scrolls horizontally, and the focus is visible.

t.setTimeout(900_000)

const VIEWS = [
  { where: '1280 px', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { where: '390 px', viewport: { width: 390, height: 800 }, colorScheme: 'light' },
  { where: 'dark', viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
  { where: 'forced colors', viewport: { width: 1280, height: 800 }, forcedColors: 'active' }
] as const

t.test('a user can do everything by keyboard, from signing up to signing out', { skip: noBrowser }, async t => {
  const { url, bots, as, clientOf, slowChat } = await serveToBrowsers(t)
  bots.takeOver()
  await as('bob')
  await slowChat(await as('carol')) // creates the bot Slow
  const { person } = await openBrowser(t)
  let calls = 0
  for (const [at, { where, ...options }] of VIEWS.entries()) {
    const { page } = await person({ ...options, reducedMotion: 'reduce' })
    const username = `ann-${at}`
    const press = async (...keys: string[]) => { for (const key of keys) await page.keyboard.press(key) }
    const type = async (text: string) => { await page.keyboard.type(text) }
    const button = (name: string) => page.getByRole('button', { name, exact: true })
    const composer = page.getByRole('textbox', { name: 'Message', exact: true })

    /** Waits until an element is shown, then checks what must hold at every step. */
    const settled = async (step: string, state: Locator) => {
      await state.first().waitFor()
      const says = `${step}, ${where}`
      await comesTrue(async () => await lostFocus(page) === undefined)
      t.equal(await lostFocus(page), undefined, `${says}: the focus is visible`)
      t.same(await barriers(page), [], `${says}: axe finds nothing`)
      t.equal(await isTooWide(page), false, `${says}: no horizontal scrolling`)
    }
    /** Presses Tab until this element has the focus. The focus must be visible at each stop. */
    const tabTo = async (target: Locator) => {
      await target.first().waitFor()
      for (let presses = 0; presses < 60; presses++) {
        if (await hasFocus(target.first())) return
        await press('Tab')
        const lost = await lostFocus(page)
        if (lost !== undefined && lost !== 'the body has the focus') t.fail(`${where}: ${lost}`) // after the last element, Tab leaves the page and enters it again at the body
      }
      t.fail(`${where}: ${target} cannot be reached by Tab`)
    }
    const enter = async (target: Locator) => {
      await tabTo(target)
      await press('Enter')
    }
    /** Checks that this element gets the focus without another key. */
    const focusIs = async (what: string, target: Locator) => {
      t.ok(await getsFocus(target), `${where}: the focus is ${what}, not at ${await page.evaluate('document.activeElement.outerHTML.slice(0, 120)') as string}`)
      t.equal(await lostFocus(page), undefined, `${where}: the focus is visible there`)
    }
    const newLink = page.getByRole('link', { name: 'New conversation' })
    const isNarrow = options.viewport.width < 700

    await page.goto(url)
    await enter(button('Sign up').first())
    await tabTo(page.getByLabel('Username'))
    await settled('signing up', page.getByLabel('New password'))
    await type(username)
    await press('Tab')
    await type('correct horse')
    await press('Enter')
    await page.getByText('No conversations yet').waitFor()
    await focusIs('at the next step', isNarrow ? newLink : composer)
    await settled('the empty list', page.getByText('No conversations yet'))

    await enter(newLink)
    await tabTo(page.getByRole('radio', { name: 'Default' }))
    for (let tries = 0; tries < 10 && !await page.getByRole('radio', { name: 'Slow' }).isChecked(); tries++) await press('ArrowDown')
    await tabTo(composer)
    await settled('a new conversation', composer)
    await type('Tell me')
    await press('Enter')
    const first = await bots.call(++calls)
    first.say('Once upon ')
    await focusIs('in the composer', composer)
    await settled('a reply that grows', page.locator('.bot').getByText('Once upon'))
    await enter(button('Stop'))
    await page.locator('.bot').getByText('Stopped.').waitFor()
    await focusIs('in the composer after Stop', composer)

    await press('Shift+Tab') // from the end of the page back to the list of messages
    for (let presses = 0; presses < 20 && !await hasFocus(button('Edit')); presses++) await press('Shift+Tab')
    await focusIs('at Edit', button('Edit'))
    await press('Enter')
    await focusIs('in the edited message', page.getByLabel('Edit message'))
    await settled('an edit', page.getByLabel('Edit message'))
    await press('ControlOrMeta+A')
    await type('Tell me more')
    await press('Enter')
    const second = await bots.call(++calls)
    second.say('There was a `server`.')
    second.end()
    await focusIs('at Edit after an edit', button('Edit'))
    await settled('a conversation', button('Regenerate'))

    await enter(page.locator('.bot').getByRole('button', { name: 'Delete' }))
    await focusIs('at Cancel', button('Cancel'))
    await settled('the question before deleting', page.getByRole('alertdialog'))
    await press('Escape')
    await focusIs('back at Delete', page.locator('.bot').getByRole('button', { name: 'Delete' }))
    await press('Enter')
    await enter(page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }))
    await page.locator('.bot').waitFor({ state: 'hidden' })
    await focusIs('in the composer after deleting', composer)

    await enter(button('Conversation details'))
    await settled('the details', page.getByRole('dialog').getByText('Slow'))
    await tabTo(page.getByLabel('Add a person'))
    await type('bob')
    await press('Enter')
    await button('Remove bob').waitFor()
    await focusIs('in the field of the person', page.getByLabel('Add a person'))
    await tabTo(page.getByLabel('Add a bot'))
    await press('f') // typing the first letter chooses an option
    await enter(page.getByRole('dialog').getByRole('button', { name: 'Add' }).last())
    await button('Remove Favorite song').waitFor()
    await settled('the details of a group', button('Remove Favorite song'))
    await tabTo(button('Remove Favorite song'))
    await press('Enter')
    await button('Remove Favorite song').waitFor({ state: 'hidden' })
    await focusIs('at the heading of the bots', page.getByRole('heading', { name: 'Bots' }))
    await press('Escape')
    await focusIs('back at the details', button('Conversation details'))

    const [cookie] = await page.context().cookies()
    const other = (await clientOf({ cookie: `${cookie!.name}=${cookie!.value}` }).post('/api/conversations', { name: 'Other' })).json()
    t.ok(other.id)
    if (isNarrow) await enter(page.getByRole('link', { name: 'Back' }))
    else await page.reload()
    await enter(page.getByRole('link', { name: /^Other/ }))
    await page.getByRole('heading', { level: 1, name: 'Other' }).waitFor()
    await focusIs('in the composer of the other conversation', composer)
    await settled('the other conversation', composer)

    if (isNarrow) await enter(page.getByRole('link', { name: 'Back' }))
    await enter(page.getByRole('link', { name: /Account/ }))
    await settled('the settings', page.getByText('This device'))
    await tabTo(page.getByLabel('Name', { exact: true }))
    await type('Ann')
    await press('Enter')
    await page.getByText('Saved.').waitFor()
    await focusIs('in the field that was saved', page.getByLabel('Name', { exact: true }))
    if (isNarrow) await enter(page.getByRole('link', { name: 'Back' }))
    await enter(button('Sign out'))
    await page.getByRole('heading', { name: 'Say hello.' }).waitFor()
    await settled('the first screen', page.getByLabel('Phone number'))
    await page.context().close()
  }
})

t.test('Tab leads through all conversations, also those that are loaded on the way', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const ann = await as('ann')
  const names = Array.from({ length: 65 }, (_, at) => `Number ${65 - at}`)
  for (const name of names.toReversed()) await ann.post('/api/conversations', { name, bots: [] })
  const { person } = await openBrowser(t)
  const { page } = await person({ viewport: { width: 1280, height: 500 } })
  await openAt(page, url, ann.headers['cookie']!)
  await page.locator('.entry').first().focus()
  const reached: string[] = []
  const focused = page.locator('.entry:focus .entry-name')
  while (reached.length < names.length) {
    if (!await comesTrue(async () => await focused.count() === 1)) break
    reached.push((await focused.textContent())!)
    await page.keyboard.press('Tab')
  }
  t.same(reached, names)
  t.ok(await getsFocus(page.getByRole('link', { name: /Account/ })))
})

t.test('when more conversations cannot be loaded, a new conversation does not take the focus away from what the user writes', { skip: noBrowser }, async t => {
  const { url, as, slowChat } = await serveToBrowsers(t)
  const ann = await as('ann')
  for (let n = 0; n < 50; n++) await ann.post('/api/conversations', { name: `Number ${n}`, bots: [] })
  const id = await slowChat(ann)
  const { person } = await openBrowser(t)
  const { page } = await person({ viewport: { width: 1280, height: 500 } })
  const { promise: failing, resolve: fail } = Promise.withResolvers<void>()
  await page.route(({ pathname, search }) => pathname === '/api/conversations' && search.includes('cursor'), async route => {
    await failing
    await route.abort()
  })
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  const more = page.locator('.sidebar-list .more')
  await more.focus()
  t.ok(await getsFocus(more))
  fail()
  await page.locator('.sidebar-list').getByRole('button', { name: 'Try again' }).waitFor()
  const composer = page.getByRole('textbox', { name: 'Message', exact: true })
  await composer.click()
  await page.keyboard.type('Dear ')
  await ann.post('/api/conversations', { name: 'From elsewhere', bots: [] })
  await page.locator('.entry').getByText('From elsewhere').waitFor()
  await page.keyboard.type('Bob')
  t.equal(await composer.inputValue(), 'Dear Bob')
})

t.test('with forced colors, what is selected looks different from the rest', { skip: noBrowser }, async t => {
  const { url, as, slowChat } = await serveToBrowsers(t)
  const ann = await as('ann')
  const id = await slowChat(ann)
  await ann.post(`/api/conversations/${id}/bots`, { name: 'favorite-song' })
  await ann.post('/api/conversations', { name: 'Other', bots: [] })
  const { person } = await openBrowser(t)
  const { page, context } = await person({ forcedColors: 'active' })
  /** Whether the first of these elements has the system's colors for what is selected, and the second has not. */
  const isMarked = async (selected: string, other: string) => {
    await page.locator(selected).waitFor()
    const [first, second] = await page.evaluate(`(() => {
      const system = document.body.appendChild(document.createElement('i'))
      system.style.cssText = 'forced-color-adjust: none; background: Highlight; color: HighlightText'
      const colors = element => {
        const { forcedColorAdjust, backgroundColor, color } = getComputedStyle(element)
        return [forcedColorAdjust, backgroundColor, color].join()
      }
      const expected = colors(system)
      system.remove()
      return ${JSON.stringify([selected, other])}.map(selector => colors(document.querySelector(selector)) === expected)
    })()`) as boolean[]
    t.ok(first && !second, selected)
    t.same(await barriers(page), [])
  }
  await openAt(page, url, ann.headers['cookie']!, `#/c/${id}`)
  await isMarked('.entry[aria-current]', '.entry:not([aria-current])')
  await page.getByText('Mention a bot to get a reply:').waitFor()
  await page.keyboard.type('@')
  await isMarked('.suggestions [aria-selected=true]', '.suggestions [aria-selected=false]')
  await page.goto(`${url}/#/new`)
  await isMarked('.chip :checked + span', '.chip :not(:checked) + span')
  await context.clearCookies()
  await page.goto(`${url}/?again`)
  await isMarked('.switch [aria-pressed=true]', '.switch [aria-pressed=false]')
})
