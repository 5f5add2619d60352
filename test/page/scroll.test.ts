import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { comesTrue, getsFocus, isTooWide, lostFocus, noBrowser, openAt, openBrowser, serveToBrowsers } from '../support/browser.ts'
import { until } from '../support/process.ts'

// The page in a real browser: which messages are in view while others are added.

t.setTimeout(900_000)

const composerOf = (page: Page) => page.getByRole('textbox', { name: 'Message' })
const toEnd = (page: Page) => page.getByRole('button', { name: 'Jump to latest' })

const VIEW = "document.querySelector('.scroller-view')"

/** How far the list of messages is from its end, in pixels. */
async function distanceToEnd (page: Page) {
  return await page.evaluate(`${VIEW}.scrollHeight - ${VIEW}.scrollTop - ${VIEW}.clientHeight`) as number
}

async function isAtEnd (page: Page) {
  await until(async () => await distanceToEnd(page) < 2)
}

/** Opens the page as Ann, in a conversation with 40 messages or more. Its bot repeats each message, or streams what the test writes. */
async function longConversation (t: Test, options = {}, count = 40) {
  const server = await serveToBrowsers(t)
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  await server.query(`INSERT INTO messages (conversation_id, id, rev, sender, user_id, text, status)
    SELECT ${id}, n, n, 'user', (SELECT id FROM users WHERE username = 'ann'), 'Message ' || n, 'complete' FROM generate_series(1, ${count}) n`)
  await server.query('UPDATE conversations SET last_rev = $2 WHERE id = $1', [id, count])
  const { person } = await openBrowser(t)
  const { page } = await person(options)
  await openAt(page, server.url, ann.headers['cookie']!, `#/c/${id}`)
  await page.locator('.mine').getByText(`Message ${count}`).waitFor()
  await isAtEnd(page)
  return { ...server, ann, id, page }
}

t.test('the end stays in view while 80 messages are sent on a busy machine', { skip: noBrowser }, async t => {
  const { page } = await longConversation(t)
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 6 })
  await page.evaluate(`new MutationObserver(() => {
    if (document.querySelector('.to-end') !== null) globalThis.losses = (globalThis.losses ?? 0) + 1
  }).observe(document.body, { childList: true, subtree: true })`)
  for (let at = 1; at <= 80; at++) {
    // Some messages have three lines: the composer grows, and shrinks when the message is sent.
    await composerOf(page).fill(at % 3 === 0 ? `Number ${at}\nwith two\nmore lines` : `Number ${at}`)
    await page.keyboard.press('Enter')
    if (at % 10 === 0) await page.locator('.bot').getByText(`Slowly: Number ${at}`, { exact: false }).waitFor()
  }
  await page.locator('.bot').getByText('Slowly: Number 80').waitFor()
  t.equal(await page.evaluate('globalThis.losses ?? 0'), 0, 'the page never assumed that the user had scrolled up')
  await isAtEnd(page)
})

t.test('sending a message scrolls to it, wherever the user was reading', { skip: noBrowser }, async t => {
  const { page } = await longConversation(t)
  await page.locator('.scroller-view').hover()
  await page.mouse.wheel(0, -1_500)
  await toEnd(page).waitFor()
  await composerOf(page).fill('Here I am')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Here I am').waitFor()
  await isAtEnd(page)
  await page.locator('.bot').getByText('Slowly: Here I am').waitFor()
  await isAtEnd(page)
  await toEnd(page).waitFor({ state: 'hidden' })
})

t.test('reasoning that is opened at the end stays under the pointer, and what fits into the view keeps the end in view', { skip: noBrowser }, async t => {
  const { page, bots } = await longConversation(t)
  bots.takeOver()
  const thoughts = Array.from({ length: 100 }, (_, at) => `Thought ${at}.`).join('\n')
  for (const [at, thought] of ['A single thought.', thoughts].entries()) {
    await composerOf(page).fill(`Question ${at}`)
    await page.keyboard.press('Enter')
    const call = await bots.call(at + 1)
    call.think(thought)
    call.say(`Answer ${at}`)
    call.end()
    await page.locator('.bot').getByText(`Answer ${at}`).waitFor()
    await isAtEnd(page)
  }
  const [short, long] = await page.getByText('Reasoning', { exact: true }).all()
  await short!.click()
  await page.getByText('A single thought.').waitFor()
  await isAtEnd(page)
  t.equal(await toEnd(page).count(), 0)
  const { y } = (await long!.boundingBox())!
  for (const open of [() => long!.click(), () => long!.press('Enter')]) {
    await open()
    await toEnd(page).waitFor()
    t.ok(Math.abs((await long!.boundingBox())!.y - y) < 2, 'it is where it was')
    await open()
    await toEnd(page).waitFor({ state: 'hidden' })
    await isAtEnd(page)
  }
})

t.test('the wheel, a finger or a key scrolls away from a growing reply; scrolling back to the end follows it again', { skip: noBrowser }, async t => {
  const { page, bots } = await longConversation(t, { hasTouch: true })
  bots.takeOver()
  await composerOf(page).fill('Tell me')
  await page.keyboard.press('Enter')
  const call = await bots.call()
  let words = 0
  const talking = setInterval(() => { call.say(`word ${words++}\n\n`) }, 20)
  t.teardown(() => { clearInterval(talking) })
  await page.locator('.bot').getByText('word 20').waitFor()
  await isAtEnd(page)

  const view = page.locator('.scroller-view')
  const top = async () => await page.evaluate(`${VIEW}.scrollTop`) as number
  const devtools = await page.context().newCDPSession(page)
  const ways = {
    wheel: async () => { await page.mouse.wheel(0, -200) },
    key: async () => { await view.press('PageUp') },
    finger: async () => {
      const touch = async (type: 'touchStart' | 'touchMove' | 'touchEnd', y?: number) => {
        await devtools.send('Input.dispatchTouchEvent', { type, touchPoints: y === undefined ? [] : [{ x: 600, y }] })
      }
      await touch('touchStart', 200)
      for (let y = 220; y <= 500; y += 20) await touch('touchMove', y)
      await touch('touchEnd')
    }
  }
  await view.hover()
  for (const [name, leave] of Object.entries(ways)) {
    await leave()
    await toEnd(page).waitFor()
    const before = await top()
    const known = words
    await until(() => words > known + 20)
    t.ok(await distanceToEnd(page) > 100, name)
    t.ok(await top() <= before, `${name}: the list stays where the user scrolled`)
    await view.press('End')
    await toEnd(page).waitFor({ state: 'hidden' })
    await isAtEnd(page)
  }

  // A resized window or a growing composer does not count as scrolling.
  await page.setViewportSize({ width: 700, height: 500 })
  await isAtEnd(page)
  await composerOf(page).fill('line\n'.repeat(8))
  await isAtEnd(page)
  await composerOf(page).fill('')
  await isAtEnd(page)
  t.equal(await toEnd(page).count(), 0)

  clearInterval(talking)
  await page.locator('.bot').getByText(`word ${words - 1}`, { exact: true }).waitFor()
  await view.press('End')
  await page.evaluate(`${VIEW}.scrollTop -= 300`) // without an event of the user, as a list does after a finger has left it
  await page.evaluate('new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))')
  await isAtEnd(page)
  t.equal(await toEnd(page).count(), 0, 'what the user scrolled before asking for the end does not count, also if the list still moves')
  call.end()
})

t.test('a user who reaches the top before older messages have arrived stays where they are, and one page is loaded', { skip: noBrowser }, async t => {
  const { page } = await longConversation(t, {}, 200)
  let asked = 0
  const { promise: arrival, resolve: arrive } = Promise.withResolvers<void>()
  await page.route('**/messages?*before=*', async route => {
    asked++
    await arrival
    await route.continue()
  })
  const oldest = page.locator('.mine').getByText('Message 151', { exact: true })
  await page.locator('.scroller-view').hover()
  await until(async () => {
    await page.mouse.wheel(0, -2_000)
    return await page.evaluate(`${VIEW}.scrollTop`) === 0
  })
  await until(() => asked === 1)
  const { y: before } = (await oldest.boundingBox())!
  arrive()
  await page.locator('.mine').getByText('Message 101', { exact: true }).waitFor({ state: 'attached' })
  await page.evaluate('new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))')
  const { y: after } = (await oldest.boundingBox())!
  t.ok(Math.abs(after - before) < 100, `Message 151 was at ${before} and is at ${after}`) // the date above it moves to the new first message
  t.equal(asked, 1)
})

t.test('a keyboard user who loads older messages up to the beginning goes on to the first message', { skip: noBrowser }, async t => {
  const { page } = await longConversation(t, {}, 80)
  const view = page.locator('.scroller-view')
  await view.focus()
  await page.keyboard.press('Tab') // to the button for older messages; this scrolls to the top, where they are loaded
  await page.locator('.mine').getByText('Message 1', { exact: true }).waitFor({ state: 'attached' })
  t.ok(await getsFocus(view), 'the list has the focus')
  await page.keyboard.press('Tab')
  t.ok(await getsFocus(page.locator('[data-message]').first().getByRole('button').first()))
  await comesTrue(async () => await lostFocus(page) === undefined)
  t.equal(await lostFocus(page), undefined, 'the first message is in view')
})

t.test('a print has all messages that are loaded, and nothing that only works on the screen; afterwards the list is where it was', { skip: noBrowser }, async t => {
  const { page, url } = await longConversation(t, { colorScheme: 'dark' })
  const place = async () => await page.evaluate(`${VIEW}.scrollTop`) as number
  /** The number of pages of a print. */
  const pagesOf = (pdf: Buffer) => Number(/\/Type \/Pages\s+\/Count (\d+)/.exec(pdf.toString('latin1'))![1])
  await page.locator('.scroller-view').hover()
  await page.mouse.wheel(0, -1_000)
  await toEnd(page).waitFor()
  await page.locator('.mine').getByText('Message 40').waitFor()
  const before = await place()
  for (const landscape of [false, true]) t.ok(pagesOf(await page.pdf({ format: 'A4', landscape })) >= 3)
  t.equal(await place(), before)

  const color = async () => await page.evaluate("getComputedStyle(document.querySelector('.message')).color")
  const dark = await color()
  await page.emulateMedia({ colorScheme: 'light' })
  const light = await color()
  t.not(light, dark)
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
  t.equal(await color(), light, 'a print is dark on white')
  t.ok(await page.locator('.mine').getByText('Message 1', { exact: true }).isVisible())
  for (const hidden of [composerOf(page), page.getByRole('navigation'), page.getByRole('button')]) t.equal(await hidden.filter({ visible: true }).count(), 0)
  t.equal(await page.evaluate(`${VIEW}.scrollHeight - ${VIEW}.clientHeight`), 0, 'the list does not scroll')

  await page.emulateMedia({ media: null })
  await page.goto(`${url}/#/account`)
  await page.getByText('This device').waitFor()
  t.ok(pagesOf(await page.pdf({ format: 'A4' })) >= 2, 'the account is longer than a page')
})

const TABLE = `| Programming language | Year | Designed by | Paradigm | What people use it for today |
|---|--:|---|---|---|
| TypeScript | 2012 | Anders Hejlsberg and others at Microsoft | multi-paradigm, structural typing | web pages, servers, tools; nearly everything that JavaScript does |
| Internationalization | 1.5 | https://example.com/a/very/long/address/without/a/place/to/break | object-oriented | enterprise |`

/** An expression for the browser: the words of the table that are broken over two lines. Links are left out: they may break. */
const WORDS_IN_TWO_LINES = `(() => {
  const broken = []
  const texts = document.createTreeWalker(document.querySelector('.bot table'), NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    if (texts.currentNode.parentElement.closest('a') !== null) continue
    for (const { 0: word, index } of texts.currentNode.textContent.matchAll(/\\w+/g)) {
      const range = document.createRange()
      range.setStart(texts.currentNode, index)
      range.setEnd(texts.currentNode, index + word.length)
      if (new Set(Array.from(range.getClientRects(), ({ top }) => Math.round(top))).size > 1) broken.push(word)
    }
  }
  return broken
})()`

for (const width of [1280, 390]) {
  t.test(`a table at ${width} pixels does not break words`, { skip: noBrowser }, async t => {
    const { page, bots } = await longConversation(t, { viewport: { width, height: 800 } })
    bots.takeOver()
    await composerOf(page).fill('Compare them')
    await page.keyboard.press('Enter')
    const call = await bots.call()
    call.say(TABLE)
    call.end()
    await page.locator('.bot td').last().waitFor()
    const broken = await page.evaluate(WORDS_IN_TWO_LINES)
    t.same(broken, [])
    const tallest = await page.evaluate("Math.max(...Array.from(document.querySelectorAll('.bot td'), cell => cell.clientHeight))") as number
    t.ok(tallest < 200, `no cell is so narrow that its words stack up: ${tallest} pixels`)
    t.notOk(await isTooWide(page), 'the table scrolls, the page does not')
  })
}
