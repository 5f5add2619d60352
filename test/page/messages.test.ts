import t, { type Test } from 'tap'
import type { Locator, Page } from 'playwright-core'
import { failure } from '../../src/bots/bot.ts'
import { barriers, comesTrue, getsFocus, hasFocus, isTooWide, noBrowser, openAt, openBrowser, serveToBrowsers } from '../support/browser.ts'
import { until } from '../support/process.ts'

// The page in a real browser: actions on messages and bots by keyboard, and where the focus is afterwards.

t.setTimeout(900_000)

const composerOf = (page: Page) => page.getByRole('textbox', { name: 'Message' })
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true })
const focusIsIn = async (page: Page) => await until(async () => await hasFocus(composerOf(page)))

/** The browser's IntersectionObserver. */
type Observer = new (see: (entries: Array<{ intersectionRatio: number }>) => void) => { observe: (element: unknown) => void }

async function say (page: Page, text: string) {
  await composerOf(page).fill(text)
  await page.keyboard.press('Enter')
}

/** Opens the page as Ann, in a conversation with a bot whose replies the test writes. */
async function annAndSlow (t: Test, options = {}) {
  const server = await serveToBrowsers(t)
  server.bots.takeOver()
  const browser = await openBrowser(t)
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const { page } = await browser.person(options)
  await openAt(page, server.url, ann.headers['cookie']!, `#/c/${id}`)
  await composerOf(page).waitFor()
  return { ...server, ...browser, ann, id, page }
}

t.test('what a server writes as an agent appears live, with the name of the agent as it is', { skip: noBrowser }, async t => {
  const { page, bots, query, ann, as, id, clientOf } = await annAndSlow(t)
  await say(page, 'Is anybody there?')
  const { end } = await bots.call()
  end()
  const boss = await as('boss')
  await query("UPDATE users SET role = 'admin' WHERE username = 'boss'; INSERT INTO external_users (issuer, subject, user_id) SELECT '', 'ann', id FROM users WHERE username = 'ann'")
  const { key } = (await boss.post('/api/admin/keys', { name: 'shop', scopes: ['act'] })).json()
  const post = async (as: object) => await clientOf({ authorization: `Bearer ${key}` }).post(`/api/conversations/${id}/messages`, { text: 'I am, how can I help?', as })
  await post({ agent: 'anna-lena' })
  const message = page.locator('.message.bot', { hasText: 'how can I help?' })
  await message.waitFor()
  t.equal(await message.locator('.who').textContent(), 'anna-lena')
  t.same(await barriers(page), [])
  await post({ bot: 'slow' })
  await page.locator('.message.bot', { hasText: 'how can I help?' }).nth(1).waitFor()
  t.equal(await page.locator('.message.bot .who').last().textContent(), 'Slow')
  t.equal((await ann.get(`/api/conversations/${id}/messages`)).json().length, 4)
})

t.test('Enter saves an edit, Escape cancels it or stops a reply, and the focus stays where the user works', { skip: noBrowser }, async t => {
  const { page, bots, query } = await annAndSlow(t)
  await say(page, 'One')
  const first = await bots.call()
  first.say('Let me ')
  await page.locator('.bot').getByText('Let me').waitFor()
  await button(page, 'Stop').focus()
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('Stopped.').waitFor()
  await focusIsIn(page)

  await button(page, 'Regenerate').focus()
  await page.keyboard.press('Enter')
  const second = await bots.call(2)
  second.say('Well, ')
  await page.locator('.bot').getByText('Well,').waitFor()
  await focusIsIn(page)
  await page.keyboard.press('Escape')
  await page.locator('.bot').getByText('Stopped.').waitFor()
  t.ok(second.signal.aborted, 'Escape stops the reply')
  await focusIsIn(page)

  await button(page, 'Edit').focus()
  await page.keyboard.press('Enter')
  await page.getByLabel('Edit message').fill('Two')
  const size = page.viewportSize()!
  for (const width of [320, 700, 900, 1280]) {
    await page.setViewportSize({ width, height: 700 })
    const ends = await page.evaluate("['.bubble:has(.edit)', '.edit'].map(name => document.querySelector(name).getBoundingClientRect().right)") as [number, number]
    t.ok(ends[1] < ends[0], `${width} px wide: the form is inside its message`)
  }
  await page.setViewportSize(size)
  await page.keyboard.press('Escape')
  await page.locator('.mine').getByText('One').waitFor()
  t.ok(await getsFocus(button(page, 'Edit')), 'Escape moves the focus back to the button')
  await page.keyboard.press('Enter')
  await page.getByLabel('Edit message').fill('Two')
  await page.keyboard.press('Shift+Enter')
  await page.keyboard.type('and three')
  await page.keyboard.press('Enter')
  await page.getByLabel('Edit message').waitFor({ state: 'hidden' })
  await page.locator('.mine').getByText('Two and three').waitFor()
  t.ok(await getsFocus(button(page, 'Edit')))
  t.match(await query("SELECT text FROM messages WHERE sender = 'user'"), [{ text: 'Two\nand three' }]);
  (await bots.call(3)).end()
})

t.test('the problem of a Stop or Regenerate that failed disappears when it no longer matters', { skip: noBrowser }, async t => {
  const { page, bots, ann, id } = await annAndSlow(t)
  const problem = page.getByText('The server cannot be reached. Check')
  await page.route(/(stop|regenerate)$/, route => route.abort())
  await say(page, 'One')
  const first = await bots.call()
  await button(page, 'Stop').click()
  await problem.waitFor()
  first.end()
  await problem.waitFor({ state: 'hidden' })

  await button(page, 'Regenerate').click()
  await problem.waitFor()
  const again = ann.post(`/api/conversations/${id}/messages/2/regenerate`)
  const second = await bots.call(2)
  second.say('Again')
  second.end()
  await again
  await page.locator('.bot').getByText('Again', { exact: true }).waitFor() // the problem says "try again"
  await button(page, 'Regenerate').waitFor()
  t.equal(await problem.count(), 0)

  const requests: string[] = []
  page.on('request', request => { if (request.url().endsWith('/regenerate')) requests.push(request.url()) })
  await page.unroute(/(stop|regenerate)$/)
  await button(page, 'Regenerate').dblclick()
  const third = await bots.call(3)
  third.end()
  await button(page, 'Regenerate').waitFor()
  t.same([requests.length, await page.getByRole('alert').count()], [1, 0], 'a double click regenerates once')
})

t.test('a message can be copied, and deleted after a confirmation', { skip: noBrowser }, async t => {
  const { page, bots, as, query, id, ann, person, url } = await annAndSlow(t)
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await say(page, 'Give me **bold**')
  const call = await bots.call()
  call.say('Here: **bold**')
  call.end()
  const reply = page.locator('.bot')
  await reply.getByRole('button', { name: 'Copy' }).click()
  await reply.getByRole('button', { name: 'Copied' }).waitFor()
  t.equal(await page.evaluate('navigator.clipboard.readText()'), 'Here: **bold**', 'the Markdown as the bot wrote it')

  await reply.getByRole('button', { name: 'Copy' }).waitFor()
  await page.evaluate("navigator.clipboard.writeText = async () => { throw new DOMException('Write permission denied.', 'NotAllowedError') }")
  await reply.getByRole('button', { name: 'Copy' }).click()
  await reply.getByRole('button', { name: 'Could not copy. Select the text instead.' }).waitFor()

  await reply.getByRole('button', { name: 'Delete' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('alertdialog', { name: 'Delete message?' }).waitFor()
  t.ok(await getsFocus(button(page, 'Cancel')), 'the button that deletes nothing has the focus')
  t.same(await barriers(page), [])
  await page.keyboard.press('Enter')
  await page.getByRole('alertdialog').waitFor({ state: 'hidden' })
  t.ok(await getsFocus(reply.getByRole('button', { name: 'Delete' })))
  await page.keyboard.press('Enter')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await reply.waitFor({ state: 'hidden' })
  await focusIsIn(page)
  t.match(await query("SELECT status, text FROM messages WHERE sender = 'bot'"), [{ status: 'deleted', text: '' }])

  const bob = await as('bob')
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  const atBobs = (await person()).page
  await openAt(atBobs, url, bob.headers['cookie']!, `#/c/${id}`)
  await atBobs.locator('.theirs').getByRole('button', { name: 'Copy' }).waitFor()
  t.equal(await atBobs.getByRole('button', { name: 'Delete' }).count(), 0, 'only the owner can delete messages of others')
})

t.test('screen readers announce each reply when it ends, also if another one is queued behind it, and none twice', { skip: noBrowser }, async t => {
  const { page, bots } = await annAndSlow(t)
  const announced = (text: string) => page.locator('p[role=status]').getByText(text, { exact: true })
  await say(page, 'One')
  const first = await bots.call()
  first.say('The first.')
  await page.locator('.bot').getByText('The first.').waitFor()
  await say(page, 'Two')
  await page.locator('.status.queued').waitFor()
  t.equal(await announced('Slow: The first.').count(), 0, 'it is still being written')
  first.end()
  const second = await bots.call(2)
  await announced('Slow: The first.').waitFor({ state: 'attached' })
  second.say('The second.')
  second.end()
  await announced('Slow: The second.').waitFor({ state: 'attached' })
  await page.locator('.bot', { hasText: 'The second.' }).getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await page.locator('.bot', { hasText: 'The second.' }).waitFor({ state: 'detached' })
  t.equal(await announced('Slow: The first.').count(), 0)

  await page.evaluate(`globalThis.said = []
    const status = document.querySelector('.chat > p[role=status]')
    new MutationObserver(() => { if (status.textContent !== '') said.push(status.textContent) }).observe(status, { childList: true, subtree: true, characterData: true })`)
  for (const at of [3, 4]) {
    await say(page, 'The same again')
    const call = await bots.call(at)
    call.say('No.')
    call.end()
    await page.locator('.bot', { hasText: 'No.' }).nth(at - 3).getByRole('button', { name: 'Copy' }).waitFor()
    await announced('Slow: No.').waitFor({ state: 'attached' })
  }
  t.same(await page.evaluate('said'), ['Slow: No.', 'Slow: No.'], 'a bot that says the same twice is announced twice')
})

t.test('a dialog stays open when text is selected in it with the mouse, and closes when the page beside it is clicked', { skip: noBrowser }, async t => {
  const { page } = await annAndSlow(t)
  await button(page, 'Conversation details').click()
  const dialog = page.getByRole('dialog')
  const name = dialog.getByLabel('Name')
  const { x, y, height } = (await name.boundingBox())!
  await page.mouse.move(x + 40, y + height / 2)
  await page.mouse.down()
  await page.mouse.move(10, y + height / 2)
  await page.mouse.up()
  t.ok(await dialog.isVisible())
  t.not(await page.evaluate('getSelection().toString()'), '')
  await page.mouse.click(10, y)
  await dialog.waitFor({ state: 'hidden' })
})

t.test('with two bots, only the mentioned one replies: a hint says so, and @ completes their names', { skip: noBrowser }, async t => {
  const { page, bots, ann, id } = await annAndSlow(t)
  await button(page, 'Conversation details').focus()
  await page.keyboard.press('Enter')
  const choice = page.getByLabel('Add a bot')
  await choice.focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowDown')
  t.equal((await ann.get(`/api/conversations/${id}/bots`)).json().length, 1, 'choosing a bot does not add it yet')
  await choice.selectOption('favorite-song')
  await page.getByRole('dialog').getByRole('button', { name: 'Add' }).last().click()
  await button(page, 'Remove Favorite song').waitFor()
  t.same(await barriers(page), [])
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  t.ok(await getsFocus(button(page, 'Conversation details')), 'closing the dialog moves the focus back to the button that opened it')

  await page.getByText('Mention a bot to get a reply:').waitFor()
  await composerOf(page).focus()
  await page.keyboard.type('Hi @')
  const options = page.getByRole('option')
  await until(async () => await options.count() === 2)
  t.same((await options.allTextContents()).sort(), ['Favorite song @favorite-song', 'Slow @slow'])
  t.same(await barriers(page), [])
  await page.keyboard.press('ArrowDown')
  t.match(await options.nth(1).getAttribute('aria-selected'), 'true')
  await page.keyboard.press('Escape')
  await options.first().waitFor({ state: 'hidden' })
  await page.keyboard.type('s')
  await until(async () => (await options.allTextContents()).join() === 'Slow @slow')
  await page.keyboard.press('Enter')
  await until(async () => await composerOf(page).inputValue() === 'Hi @slow ')
  await page.getByText('Mention a bot to get a reply:').waitFor({ state: 'hidden' })
  await page.keyboard.type('how are you?')
  await page.keyboard.press('Enter')
  const call = await bots.call()
  call.say('Fine.')
  call.end()
  await page.locator('.bot', { hasText: 'Slow' }).getByText('Fine.').waitFor()
  await button(page, '@favorite-song').click()
  await until(async () => await composerOf(page).inputValue() === '@favorite-song ')
  await page.keyboard.type('mail me at ann@slow')
  t.equal(await options.count(), 0, 'an email address is not a mention')
  await composerOf(page).fill('')
  await page.keyboard.type('你好＠s')
  await until(async () => (await options.allTextContents()).join() === 'Slow @slow')
  await page.keyboard.type('lowさん')
  await page.getByText('Mention a bot to get a reply:').waitFor({ state: 'hidden' })
})

t.test('a failed reply says in words why the bot could not reply', { skip: noBrowser }, async t => {
  const { page, bots } = await annAndSlow(t)
  await say(page, 'One')
  const first = await bots.call()
  first.fail(failure('BOT_OVERLOADED'))
  await page.locator('.bot').getByText('The bot could not reply. It is overloaded. Try again in a minute.').waitFor()
  await page.getByRole('status').getByText('Slow: The bot could not reply. It is overloaded. Try again in a minute.').waitFor() // for screen readers
  await button(page, 'Regenerate').click()
  const second = await bots.call(2)
  second.fail(failure('BOT_UNREACHABLE'))
  await page.locator('.bot').getByText('The bot could not reply. Its provider cannot be reached.').waitFor()
  const entry = page.locator('.entry-text')
  await until(async () => await entry.textContent() === 'The bot could not reply.')
})

t.test('code is highlighted, \\( keeps its backslash, and the list shows a reply without Markdown', { skip: noBrowser }, async t => {
  const { page, bots, query } = await annAndSlow(t)
  const entry = page.locator('.entry-text')
  await say(page, 'Explain **it**')
  const call = await bots.call()
  call.say('The **area** is \\(a^2\\), in')
  await until(async () => await entry.textContent() === 'Writing…')
  call.say(' code:\n\n```js\nconst area = 42 // square\n```\n\n```unheard-of\nconst\n```\n\n\\[ x \\] and \\*stars\\*')
  call.end()
  await until(async () => await entry.textContent() === 'The area is (a^2), in code: const area = 42 // square const [ x ] and *stars*')
  await page.locator('.bot').getByText('The area is \\(a^2\\), in code:').waitFor()
  await page.locator('.bot').getByText('\\[ x \\] and *stars*').waitFor()
  await page.locator('.hljs-keyword', { hasText: 'const' }).waitFor()
  t.equal(await page.locator('.hljs-number').textContent(), '42')
  t.equal(await page.locator('.code code').last().locator('span').count(), 0)
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    t.same(await barriers(page), [], colorScheme)
  }
  const selected = await page.evaluate("(getSelection().selectAllChildren(document.querySelector('.scroller-content')), getSelection().toString())") as string
  t.match(selected, 'const area = 42 // square')
  t.notMatch(selected, /Copy|Edit|Delete/, 'what is copied with the mouse has no names of buttons')
  t.equal((await query("SELECT FROM messages WHERE text LIKE '%**%'")).length, 2)
})

t.test('a formula keeps its backslashes, stars and underscores', { skip: noBrowser }, async t => {
  const { page, bots } = await annAndSlow(t)
  await say(page, 'A formula')
  const call = await bots.call()
  call.say('Of *all* \\(\\{x_1, y\\,*z*\\}\\) and \\(*a*\\), with an open \\( before *this*:\n\n\\[\na \\\\ b\\%\n\\]')
  call.end()
  await page.locator('.bot').getByText('Of all \\(\\{x_1, y\\,*z*\\}\\) and \\(*a*\\), with an open \\( before this:', { exact: true }).waitFor()
  await page.locator('.bot').getByText('\\[ a \\\\ b\\% \\]', { exact: true }).waitFor()
})

t.test('a link whose address stands at the end of the reply is a link, and character references in an address are decoded', { skip: noBrowser }, async t => {
  const { page, bots } = await annAndSlow(t)
  await say(page, 'Your sources?')
  const call = await bots.call()
  call.say('See [the docs][1] and [a search](https://b.example/?a=1&amp;b=2), but [no script](&#106;avascript:alert) and no &toString;.\n\n')
  await page.locator('.bot').getByText('See [the docs][1]').waitFor()
  call.say('[1]: https://a.example/docs "The docs"')
  call.end()
  const link = (name: string) => page.locator('.bot').getByRole('link', { name }).getAttribute('href')
  t.equal(await link('the docs'), 'https://a.example/docs')
  t.equal(await link('a search'), 'https://b.example/?a=1&b=2')
  await page.locator('.bot').getByText('but no script and no &toString;.').waitFor()
  t.equal(await page.locator('.bot').getByRole('link').count(), 2)
})

t.test('the list shows the message of a user as it was written', { skip: noBrowser }, async t => {
  const { page, ann } = await annAndSlow(t)
  const { id } = (await ann.post('/api/conversations', { name: 'Notes', bots: [] })).json()
  for (const text of ['Is __init__(self, **kwargs) called?', '1 | 2 \\* 3 `4`', '# No heading']) {
    await ann.post(`/api/conversations/${id}/messages`, { text })
    await page.getByRole('link', { name: /^Notes/ }).getByText(text, { exact: true }).waitFor()
  }
})

t.test('the confirmation before a conversation is deleted is in view at every size, and the focus then moves to the next step', { skip: noBrowser }, async t => {
  const sizes = [{ width: 1280, height: 600 }, { width: 390, height: 500 }]
  for (const viewport of sizes) {
    const { page, ann, id, as } = await annAndSlow(t, { viewport })
    for (let at = 0; at < 12; at++) {
      await as(`friend-${at}`)
      await ann.post(`/api/conversations/${id}/users`, { username: `friend-${at}` })
    }
    await page.reload()
    await button(page, 'Conversation details').click()
    await button(page, 'Remove friend-3').focus()
    await page.keyboard.press('Enter')
    await button(page, 'Remove friend-3').waitFor({ state: 'hidden' })
    await until(async () => await hasFocus(page.getByRole('heading', { name: 'People' })))
    await button(page, 'Delete conversation').focus()
    await page.keyboard.press('Enter')
    const confirm = page.getByRole('alertdialog').getByRole('button', { name: 'Delete' })
    const isInView = async () => {
      const { y, height } = (await confirm.boundingBox())!
      return y > 0 && y + height < viewport.height
    }
    t.ok(await comesTrue(isInView), 'the button is in view without scrolling')
    t.notOk(await isTooWide(page))
    t.same(await barriers(page), [])
    await confirm.focus()
    await page.keyboard.press('Enter')
    await page.getByText('No conversations yet').waitFor()
    await until(async () => await page.locator('body:focus, :focus').and(page.locator('textarea, a')).count() === 1)
  }
})

t.test('if the bots cannot be loaded, the screen for a new conversation says so, and loads them again', { skip: noBrowser }, async t => {
  const { page, url } = await annAndSlow(t)
  await page.route('**/api/bots?*', async route => { await route.fulfill({ status: 500, json: { statusCode: 500, code: 'INTERNAL', error: 'Something went wrong on our side' } }) }, { times: 1 })
  await page.goto(`${url}/#/new`)
  const problem = page.getByRole('alert').filter({ hasText: 'Something went wrong on our side' })
  await problem.waitFor()
  await page.getByRole('radio', { name: 'Default' }).waitFor()
  t.same(await barriers(page), [])
  await problem.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('radio', { name: 'Simulated' }).waitFor()
  t.equal(await problem.count(), 0)
})

t.test('a blank name for a conversation is refused in the words of the page', { skip: noBrowser }, async t => {
  const { page } = await annAndSlow(t)
  await button(page, 'Conversation details').click()
  await page.getByRole('textbox', { name: 'Name' }).fill('   ')
  await page.keyboard.press('Enter')
  t.ok(await comesTrue(async () => await page.locator('.field .problem').textContent({ timeout: 5_000 }).catch(() => '') === 'This field is required.'))
})

t.test('a new user on a phone sees how to start a conversation', { skip: noBrowser }, async t => {
  const { url, as } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const ann = await as('ann')
  const { page } = await person({ viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true, colorScheme: 'dark' })
  await openAt(page, url, ann.headers['cookie']!)
  await page.getByRole('link', { name: 'Start a conversation' }).click()
  await page.getByRole('heading', { name: 'What would you like to talk about?' }).waitFor()
  t.same(await page.locator('.chip').allTextContents(), ['Default', 'Simulated', 'Favorite song', 'No bot'])
  t.same(await barriers(page), [])
})

t.test('at 400 % zoom, a user can scroll to each conversation, and to everything on the screen for a new one', { skip: noBrowser }, async t => {
  const { page, query } = await annAndSlow(t, { viewport: { width: 320, height: 256 } })
  await query("UPDATE users SET email = 'ann@example.com'")
  /** Scrolls to an element. Returns how much of it is in view. */
  const visiblePart = async (shown: Locator) => {
    await shown.scrollIntoViewIfNeeded()
    return await shown.evaluate(async element => await new Promise<number>(resolve => {
      const { IntersectionObserver } = globalThis as unknown as { IntersectionObserver: Observer }
      new IntersectionObserver(([entry]) => { resolve(entry!.intersectionRatio) }).observe(element)
    }))
  }
  await page.reload()
  await page.getByRole('link', { name: 'Back' }).click()
  await button(page, 'Resend email').waitFor()
  for (const shown of [page.getByRole('link', { name: /^Slow/ }), button(page, 'Sign out')]) t.ok(await visiblePart(shown) > 0.95, `${shown}`)
  await page.getByRole('link', { name: 'New conversation' }).click()
  for (const shown of [page.getByRole('heading', { level: 2 }), page.getByText('No bot')]) t.ok(await visiblePart(shown) > 0.95, `${shown}`)
})

t.test('times have the format of the browser’s locale', { skip: noBrowser }, async t => {
  for (const [locale, pattern] of [['en-US', /^\d?\d:\d\d [AP]M$/u], ['de-DE', /^\d\d:\d\d$/u]] as const) {
    const { page } = await annAndSlow(t, { locale })
    await say(page, 'When?')
    const time = await page.locator('.mine time').textContent()
    t.match(time!.replace(/\s/gu, ' '), pattern)
    t.notMatch(time, locale === 'en-US' ? /^0/ : /M/)
  }
})

t.test('a second click on what removes a member, a bot or a session is no problem', { skip: noBrowser }, async t => {
  const { page, ann, as, clientOf, id, url } = await annAndSlow(t)
  await as('bob')
  await ann.post(`/api/conversations/${id}/users`, { username: 'bob' })
  await clientOf({}).post('/api/login', { username: 'ann', password: 'correct horse' })
  const statuses: number[] = []
  const { promise: bothAsked, resolve: release } = Promise.withResolvers<void>()
  let asked = 0
  // The connection is slow: the second click comes before the first answer.
  await page.route(({ pathname }) => /\/(users|bots|sessions)\/\d+$/.test(pathname), async route => {
    if (++asked % 2 === 0) release()
    await bothAsked
    const response = await route.fetch()
    statuses.push(response.status())
    await route.fulfill({ response })
  })
  const twice = async (remove: ReturnType<Page['getByRole']>) => {
    const before = statuses.length
    await remove.dblclick()
    await until(() => statuses.length === before + 2)
    await remove.waitFor({ state: 'detached' })
    t.same(statuses.slice(before).sort(), [204, 404])
    t.equal(await page.locator('.problem').count(), 0)
  }
  await page.reload()
  await button(page, 'Conversation details').click()
  await twice(button(page, 'Remove bob'))
  await twice(button(page, 'Remove Slow'))
  await page.goto(`${url}/?again#/account`)
  await twice(page.locator('.rows').getByRole('button', { name: 'Sign out' }))
})
