import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { barriers, getsFocus, isTooWide, noBrowser, openAt, openBrowser, serveToBrowsers, signUp } from '../support/browser.ts'

// The page in a real browser: input methods, right-to-left text, drafts.

t.setTimeout(900_000)

const composerOf = (page: Page) => page.getByRole('textbox', { name: 'Message' })

/** Opens the page as Ann, in a conversation of this name with a bot that repeats each message. */
async function enter (t: Test, name: string, options = {}) {
  const server = await serveToBrowsers(t)
  const browser = await openBrowser(t)
  const ann = await server.as('ann')
  await server.query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  const { id } = (await ann.post('/api/conversations', { name, bots: ['slow'] })).json()
  const open = async (more = {}) => {
    const { page, context } = await browser.person({ ...options, ...more })
    await openAt(page, server.url, ann.headers['cookie']!, `#/c/${id}`)
    await composerOf(page).waitFor()
    return { page, context }
  }
  return { ...server, ...browser, ann, id, open, ...await open() }
}

/** Types as an input method does: Enter accepts the text of the composition. */
async function compose (page: Page, text: string) {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length })
  await devtools.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 })
  await devtools.send('Input.insertText', { text })
  await devtools.detach()
}

/** The key as Safari reports it: after the composition has ended, so that only the key code 229 tells that it belongs to it. */
async function pressAsSafari (page: Page, key: 'Enter' | 'Escape') {
  return await page.evaluate(`!document.activeElement.dispatchEvent(
    new KeyboardEvent('keydown', { key: '${key}', keyCode: 229, isComposing: false, bubbles: true, cancelable: true }))`)
}

async function alignment (page: Page, selector: string) {
  const style = `getComputedStyle(document.querySelector(${JSON.stringify(selector)}))`
  return await page.evaluate(`${style}.direction + ' ' + ${style}.textAlign`) as string
}

t.test('Enter that ends an input method’s composition does not send the message', { skip: noBrowser }, async t => {
  const { page, query } = await enter(t, '会話')
  const mine = page.locator('.mine')
  await composerOf(page).focus()
  await compose(page, 'こんにちは')
  t.equal(await composerOf(page).inputValue(), 'こんにちは')
  t.equal(await mine.count(), 0)
  t.notOk(await pressAsSafari(page, 'Enter'), 'the page leaves the key to the input method')
  t.equal(await composerOf(page).inputValue(), 'こんにちは')
  t.equal(await mine.count(), 0)
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('Slowly: こんにちは').waitFor()
  t.equal(await composerOf(page).inputValue(), '')

  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByLabel('Edit message').fill('さようなら')
  await pressAsSafari(page, 'Escape')
  t.equal(await page.getByLabel('Edit message').inputValue(), 'さようなら', 'Escape cancels the composition, not the edit')
  await page.keyboard.press('Escape')
  await page.getByLabel('Edit message').waitFor({ state: 'hidden' })

  await page.getByRole('button', { name: 'Conversation details' }).click()
  const name = page.getByRole('textbox', { name: 'Name' })
  await name.fill('新しい会話')
  t.ok(await pressAsSafari(page, 'Enter'), 'the key does not submit a form either')
  t.match(await query('SELECT name FROM conversations'), [{ name: '会話' }])
  await name.press('Enter')
  await page.getByText('Saved.').waitFor()
  t.match(await query('SELECT name FROM conversations'), [{ name: '新しい会話' }])
  t.equal((await query("SELECT FROM messages WHERE sender = 'user'")).length, 1)
})

const conversations = [
  { language: 'Japanese', direction: 'ltr', name: '東京への旅行', question: '東京でおすすめの場所はどこですか？', answer: '**浅草**がおすすめです。\n\n> 曰く\n\n- 浅草寺\n- 東京スカイツリー', mixed: '会議は10:30に Zoom で始まります。' },
  { language: 'Hebrew', direction: 'rtl', name: 'טיול לירושלים', question: 'מה כדאי לראות בירושלים?', answer: 'כדאי לבקר ב**עיר העתיקה**.\n\n> אמר רבי\n\n- הכותל המערבי\n- שוק מחנה יהודה', mixed: 'הפגישה ב-10:30 ב-Zoom, חדר 4.' },
  { language: 'Arabic', direction: 'rtl', name: 'رحلة إلى القاهرة', question: 'ما أفضل الأماكن في القاهرة؟', answer: 'أنصحك بزيارة **المتحف المصري**.\n\n> قال لي\n\n- الأهرامات\n- خان الخليلي', mixed: 'الاجتماع في 10:30 على Zoom، الغرفة ٤.' }
]

for (const { language, direction, name, question, answer, mixed } of conversations) {
  t.test(`a conversation in ${language} has its own text direction, and the page around it does not change`, { skip: noBrowser }, async t => {
    const { page, bots } = await enter(t, name)
    bots.takeOver()
    await composerOf(page).fill(question)
    t.equal(await alignment(page, '.composer textarea'), `${direction} start`, 'the composer')
    await page.keyboard.press('Enter')
    const call = await bots.call()
    call.say(answer)
    call.end()
    await page.locator('.bot li').first().waitFor()
    await page.locator('.bot').getByText('Writing…').waitFor({ state: 'hidden' })
    await page.locator('.entry-name').waitFor()
    await page.locator('.entry-text', { hasText: 'Writing…' }).waitFor({ state: 'hidden' })
    for (const selector of ['.chat-head h1', '.entry-name', '.entry-text', '.mine .plain', '.bot .markdown p', '.bot .markdown blockquote', '.bot .markdown ul', '.bot .markdown li']) {
      t.equal(await alignment(page, selector), `${direction} start`, selector)
    }
    await composerOf(page).fill(`${mixed}\nIn English.`)
    await page.keyboard.press('Enter')
    const second = await bots.call(2)
    second.say(`${mixed}\n\nAnd this is in English.`)
    second.give({ part: { type: 'source', url: 'https://example.com/', title: name }, isSaid: true })
    second.give({ part: { type: 'choices', choices: [{ id: '1', title: question }] }, isSaid: true })
    second.end()
    await page.locator('.bot').getByText('And this is in English.').waitFor()
    await page.getByRole('button', { name: question }).waitFor()
    t.match(await alignment(page, 'button.choice'), direction, 'a choice, whose question mark would be on the wrong side')
    t.equal(await alignment(page, '.sources a'), `${direction} start`, 'the title of a source')
    t.equal(await alignment(page, ':nth-child(4 of [data-message]) .markdown > p:last-child'), 'ltr start', 'each paragraph has its own direction')
    t.equal(await alignment(page, '.composer-row'), 'ltr start', 'the page is English')
    const boxes = await Promise.all(['.mine .bubble', '.bot .bubble'].map(selector => page.locator(selector).first().boundingBox()))
    t.ok(boxes[0]!.x > boxes[1]!.x, 'the user’s own messages stay on the right')
    await page.getByRole('button', { name: question }).click()
    await page.locator('span.choice').waitFor()
    t.match(await alignment(page, 'span.choice'), direction, 'a choice that was made')
    t.notOk(await isTooWide(page))
    t.same(await barriers(page), [])
  })
}

t.test('each conversation keeps its draft after a reload, and no other user sees it', { skip: noBrowser }, async t => {
  const { page, ann, id, url, query } = await enter(t, 'First')
  const other = (await ann.post('/api/conversations', { name: 'Second', bots: [] })).json().id
  const first = 'שלום, היא אמרה\nand then'
  await composerOf(page).fill(first)
  await page.reload()
  await composerOf(page).waitFor()
  t.equal(await composerOf(page).inputValue(), first)
  await page.goto(`${url}/#/c/${other}`)
  await page.getByRole('heading', { level: 1, name: 'Second' }).waitFor()
  t.equal(await composerOf(page).inputValue(), '')
  await composerOf(page).fill('In the second')
  await page.goto(`${url}/#/new`)
  await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  await composerOf(page).fill('In a new one')
  await page.reload()
  await composerOf(page).waitFor()
  t.equal(await composerOf(page).inputValue(), 'In a new one')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'In a new one' }).waitFor()
  await page.locator('.mine').getByText('In a new one').waitFor()
  t.equal(await composerOf(page).inputValue(), '')
  await page.getByRole('link', { name: 'New conversation' }).click()
  t.equal(await composerOf(page).inputValue(), '', 'a sent message is no longer a draft')
  await composerOf(page).fill('What is **bold** in `code`?\nNothing.')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'What is bold in code?', exact: true }).waitFor()

  await page.goto(`${url}/#/c/${id}`)
  await page.getByRole('heading', { level: 1, name: 'First' }).waitFor()
  t.equal(await composerOf(page).inputValue(), first)
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('and then').waitFor()
  await page.reload()
  await page.locator('.mine').getByText('and then').waitFor()
  t.equal(await composerOf(page).inputValue(), '')

  // The session ends, and another user signs up in the same browser tab.
  await composerOf(page).fill('A secret of Ann’s')
  await query('UPDATE sessions SET revoked_at = now()')
  await page.context().clearCookies()
  await signUp(page, `${url}/?again`, 'bob')
  t.notMatch(await page.evaluate('JSON.stringify(sessionStorage)'), /secret|second/)
  await page.goto(`${url}/?again#/new`)
  await composerOf(page).fill('A secret of Bob’s')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('textbox', { name: 'Phone number' }).waitFor()
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}', 'signing out deletes the drafts')
})

t.test('an edit that was not saved is still there after a reload, until it is saved or cancelled', { skip: noBrowser }, async t => {
  const { page, url } = await enter(t, 'First')
  const edit = page.getByLabel('Edit message')
  const composer = page.getByRole('textbox', { name: 'Message', exact: true })
  await composerOf(page).fill('One')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('One').waitFor()
  await page.getByRole('button', { name: 'Edit' }).click()
  await edit.fill('Two and')
  const { promise: opened, resolve: goOn } = Promise.withResolvers<void>()
  await page.route('**/messages?*', async route => { await opened; await route.fallback() })
  await page.reload()
  await composer.pressSequentially('Also ')
  goOn()
  await edit.waitFor()
  await page.keyboard.type('this')
  t.same([await edit.inputValue(), await composer.inputValue()], ['Two and', 'Also this'], 'it does not take the focus from the composer')
  await composer.fill('')
  await edit.press('Escape')
  await page.locator('.mine').getByText('One').waitFor()
  await page.getByRole('button', { name: 'Edit' }).click()
  t.equal(await edit.inputValue(), 'One')
  await edit.fill('Three')
  await page.goto(`${url}/#/new`)
  await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  await page.goBack()
  await edit.press('Enter')
  await edit.waitFor({ state: 'hidden' })
  await page.locator('.mine').getByText('Three').waitFor()
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}')
})

t.test('where the browser blocks its storage, each conversation keeps its draft until the page is closed', { skip: noBrowser }, async t => {
  const { page, ann } = await enter(t, 'First')
  await page.addInitScript("Object.defineProperty(window, 'sessionStorage', { get () { throw new DOMException('Access is denied', 'SecurityError') } })")
  await ann.post('/api/conversations', { name: 'Second', bots: [] })
  await page.reload()
  await composerOf(page).fill('Half a sentence')
  await page.getByRole('link', { name: /^Second/ }).click()
  await page.getByRole('heading', { level: 1, name: 'Second' }).waitFor()
  t.equal(await composerOf(page).inputValue(), '')
  await composerOf(page).fill('And another')
  await page.getByRole('link', { name: /^First/ }).click()
  await page.getByRole('heading', { level: 1, name: 'First' }).waitFor()
  t.equal(await composerOf(page).inputValue(), 'Half a sentence')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Username').fill('ann')
  await page.getByLabel('Password').fill('correct horse')
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: /^First/ }).click()
  await page.getByRole('heading', { level: 1, name: 'First' }).waitFor()
  t.equal(await composerOf(page).inputValue(), '', 'signing out deletes it')
})

t.test('a message that was not stored when the page was reloaded is sent, once', { skip: noBrowser }, async t => {
  const { page, ann, id, url, query } = await enter(t, 'First')
  const path = '**/api/conversations/*/messages'
  const texts = () => query("SELECT text FROM messages WHERE sender = 'user' ORDER BY id")

  // The request has not reached the server.
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  await page.route(path, async route => {
    if (route.request().method() === 'POST') begin()
    else await route.fallback()
  })
  await composerOf(page).fill('One\nand more')
  await page.keyboard.press('Enter')
  await begun
  await composerOf(page).fill('Two')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Two').waitFor()
  t.same(await texts(), [])
  await page.unroute(path)
  await page.reload()
  await page.locator('.bot').getByText('Slowly: Two').waitFor()
  await page.locator('.mine').getByText('One').waitFor() // what is sent again may be shown before the older messages have arrived
  t.same(await page.locator('.mine .plain').allTextContents(), ['One\nand more', 'Two'])
  t.same(await texts(), [{ text: 'One\nand more' }, { text: 'Two' }])
  t.equal(await composerOf(page).inputValue(), '')

  // The server has stored it, and the answer has not reached the page.
  await page.route(path, async route => {
    const request = route.request()
    if (request.method() === 'POST') await ann.post(`/api/conversations/${id}/messages`, request.postDataJSON(), { 'idempotency-key': request.headers()['idempotency-key']! })
    else await route.fallback()
  })
  await composerOf(page).fill('Three')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('Slowly: Three').waitFor()
  await page.unroute(path)
  await page.reload()
  await page.locator('.mine .quiet').waitFor({ state: 'detached' })
  await page.locator('.bot').getByText('Slowly: Three').waitFor()
  await page.locator('.mine').getByText('One').waitFor()
  t.same(await page.locator('.mine .plain').allTextContents(), ['One\nand more', 'Two', 'Three'])
  t.same(await texts(), [{ text: 'One\nand more' }, { text: 'Two' }, { text: 'Three' }])

  // The server has refused it.
  await page.route(path, async route => {
    if (route.request().method() === 'POST') await route.fulfill({ status: 429, json: { code: 'BUDGET_SPENT', error: 'Nothing is left' } })
    else await route.fallback()
  })
  await composerOf(page).fill('Four')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByRole('button', { name: 'Try again' }).waitFor()
  await page.unroute(path)
  await page.reload()
  await page.locator('.mine').getByText('today’s limit').waitFor()
  t.equal((await texts()).length, 3, 'it is not sent by itself')
  await page.locator('.mine').getByRole('button', { name: 'Try again' }).click()
  await page.locator('.bot').getByText('Slowly: Four').waitFor()

  // Another user does not send it.
  await page.route(path, async route => { if (route.request().method() !== 'POST') await route.fallback() })
  await composerOf(page).fill('A secret')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('A secret').waitFor()
  t.match(await page.evaluate('JSON.stringify(sessionStorage)'), /A secret/)
  await query('UPDATE sessions SET revoked_at = now()')
  await page.context().clearCookies()
  await page.unroute(path)
  await signUp(page, `${url}/?again#/c/${id}`, 'bob')
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}')
  t.equal((await texts()).length, 4)
})

t.test('such a message is also sent if another conversation is open after the reload; if its own is gone, the page says so', { skip: noBrowser }, async t => {
  const { page, ann, id, url, query } = await enter(t, 'First')
  const other = (await ann.post('/api/conversations', { name: 'Second', bots: [] })).json().id
  let isCut = true
  await page.route('**/api/conversations/*/messages', async route => { if (route.request().method() !== 'POST' || !isCut) await route.fallback() })
  await composerOf(page).fill('Precious')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Precious').waitFor()
  await page.goto(`${url}/#/c/${other}`)
  await page.getByRole('heading', { level: 1, name: 'Second' }).waitFor()
  isCut = false
  await page.reload()
  await page.getByRole('link', { name: /^First .* Slowly: Precious/ }).waitFor()
  t.same(await query("SELECT text, conversation_id::int FROM messages WHERE sender = 'user'"), [{ text: 'Precious', conversation_id: id }])

  isCut = true
  await composerOf(page).fill('Too late')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Too late').waitFor()
  await ann.delete(`/api/conversations/${other}`)
  isCut = false
  await page.reload()
  await page.locator('.mine', { hasText: 'Too late' }).getByText('This conversation was deleted').waitFor()
  await page.locator('.mine').getByRole('button', { name: 'Discard' }).click()
  await page.locator('.mine').waitFor({ state: 'detached' })
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}')
})

t.test('a phone chat accepts a pasted number, says what is wrong with it, and keeps the draft', { skip: noBrowser }, async t => {
  const { url, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person()
  await page.goto(url)
  const phone = page.getByRole('textbox', { name: 'Phone number' })
  await phone.fill('49 (0) 170 1234567')
  await page.getByRole('button', { name: 'Start chatting' }).click()
  await page.getByText('Write (0) only once, after a country code').waitFor()
  await phone.fill('\u202a+٤٩ (0) 170–1234567\u202c')
  await page.keyboard.press('Enter')
  await composerOf(page).fill('hel')
  await page.reload()
  await composerOf(page).waitFor()
  t.equal(await composerOf(page).inputValue(), 'hel')
  await composerOf(page).fill('hello')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('What is your name?').waitFor()
  t.same(await query('SELECT phone_number FROM user_sessions'), [{ phone_number: '491701234567' }])
  await composerOf(page).fill('Yael')
  await page.getByRole('button', { name: 'Use another number' }).click()
  await phone.waitFor()
  t.equal(await page.evaluate('JSON.stringify(sessionStorage)'), '{}')
})

t.test('messages of a phone chat arrive in their order, also when the first one is slow or the page is reloaded', { skip: noBrowser }, async t => {
  const { url, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person()
  let { promise: goOn, resolve: letGo } = Promise.withResolvers<void>()
  await page.route('**/chat', async route => {
    if (route.request().postDataJSON().user_message === 'hello') await goOn
    await route.fallback()
  })
  await page.goto(`${url}/#/phone/+491701234567`)
  for (const text of ['hello', 'Ann', 'Imagine']) {
    await composerOf(page).fill(text)
    await page.keyboard.press('Enter')
    await page.locator('.mine').getByText(text).waitFor()
  }
  const waitingForHello = page.waitForRequest('**/chat')
  ;({ promise: goOn, resolve: letGo } = Promise.withResolvers<void>())
  await page.reload()
  await waitingForHello
  t.same(await query('SELECT text FROM messages'), [])
  letGo()
  await page.locator('.bot').getByText('Playing Imagine').waitFor()
  t.same((await page.locator('.message .plain').allTextContents()), ['hello', 'What is your name?', 'Ann', 'Hello Ann, what is your favorite song?', 'Imagine', 'Playing Imagine'])
})

t.test('when a message of a phone chat cannot be sent, those behind it are not sent either, and a reload sends them in their order', { skip: noBrowser }, async t => {
  const { url, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person()
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>()
  await page.route('**/chat', async route => {
    await lost
    await route.abort()
  })
  await page.goto(`${url}/#/phone/+491701234567`)
  for (const text of ['hello', 'Ann', 'Imagine']) {
    await composerOf(page).fill(text)
    await page.keyboard.press('Enter')
    await page.locator('.mine').getByText(text).waitFor()
  }
  const requests: unknown[] = []
  page.on('request', request => { if (request.url().endsWith('/chat')) requests.push(request.postDataJSON().user_message) })
  lose()
  await page.locator('.unsent').nth(2).waitFor()
  t.same(requests, [], 'after the first request, there is no other')
  await page.unroute('**/chat')
  t.same(await query('SELECT text FROM messages'), [])
  await page.reload()
  await page.locator('.bot').getByText('Playing Imagine').waitFor()
  t.same(requests, ['hello', 'Ann', 'Imagine'])
})

t.test('a new conversation is created once, although its answer is lost, the page is reloaded, or Enter comes twice', { skip: noBrowser }, async t => {
  const { page, url, query } = await enter(t, 'First')
  const conversations = async () => (await query("SELECT name, (SELECT count(*)::int FROM messages WHERE conversation_id = c.id AND sender = 'user') AS messages FROM conversations c ORDER BY id"))
    .map(({ name, messages }) => `${name} (${messages})`)
  const openNew = async () => {
    await page.goto(`${url}/#/new`)
    await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  }
  /** The server creates a conversation, and its answer ends in this way. */
  const intercept = async (answer: 'is lost' | 'never comes') => {
    const { promise, resolve } = Promise.withResolvers<void>()
    await page.route('**/api/conversations', async route => {
      if (route.request().method() !== 'POST') return await route.fallback()
      await route.fetch()
      if (answer === 'is lost') await route.abort()
      resolve()
    })
    return promise
  }

  await openNew()
  const lost = intercept('is lost')
  await composerOf(page).fill('Lost')
  await page.keyboard.press('Enter')
  await lost
  await page.getByText('The server cannot be reached').waitFor()
  t.equal(await composerOf(page).inputValue(), 'Lost')
  await page.unroute('**/api/conversations')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('Lost').waitFor()
  t.same(await conversations(), ['First (0)', 'Lost (1)'])

  await openNew()
  const created = intercept('never comes')
  await composerOf(page).fill('Reloaded')
  await page.keyboard.press('Enter')
  await created
  await page.reload()
  await page.unroute('**/api/conversations')
  await composerOf(page).waitFor()
  t.equal(await composerOf(page).inputValue(), 'Reloaded')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('Reloaded').waitFor()
  t.same(await conversations(), ['First (0)', 'Lost (1)', 'Reloaded (1)'])

  await openNew()
  await composerOf(page).fill('Twice')
  await Promise.all([page.keyboard.press('Enter'), page.keyboard.press('Enter')])
  await page.locator('.bot').getByText('Twice').waitFor()
  await openNew()
  await composerOf(page).fill('Twice')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('Twice').waitFor()
  t.same(await conversations(), ['First (0)', 'Lost (1)', 'Reloaded (1)', 'Twice (1)', 'Twice (1)'], 'the same again is another one')
})

/** Sends `Hello` as the beginning of a new conversation. The request is held back until the returned function is called. */
async function beginSlowly (page: Page, url: string) {
  await page.goto(`${url}/#/new`)
  await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  const { promise: answer, resolve: answerNow } = Promise.withResolvers<void>()
  await page.route('**/api/conversations', async route => {
    await answer
    await route.fallback()
  })
  await composerOf(page).fill('Hello')
  await page.keyboard.press('Enter')
  return answerNow
}

t.test('a user who opens another conversation while a new one is being created is not taken to the new one', { skip: noBrowser }, async t => {
  const { page, url } = await enter(t, 'First')
  const answerNow = await beginSlowly(page, url)
  await page.getByRole('link', { name: /^First/ }).click()
  await page.getByRole('heading', { level: 1, name: 'First' }).waitFor()
  await page.keyboard.type('While I')
  answerNow()
  await page.getByRole('link', { name: /^Hello .* 1 unread message$/ }).waitFor()
  await page.keyboard.type(' wait')
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'First')
  t.equal(await composerOf(page).inputValue(), 'While I wait')
  await page.getByRole('link', { name: 'New conversation' }).click()
  await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  t.equal(await composerOf(page).inputValue(), '', 'it was sent')
})

t.test('a new conversation is created once, and its message sent once, also if the user leaves meanwhile and comes back', { skip: noBrowser }, async t => {
  const { page, url, query } = await enter(t, 'First')
  const answerNow = await beginSlowly(page, url)
  await page.getByRole('link', { name: /^First/ }).click()
  await page.getByRole('heading', { level: 1, name: 'First' }).waitFor()
  await page.getByRole('link', { name: 'New conversation' }).click()
  await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  t.equal(await composerOf(page).inputValue(), 'Hello')
  await composerOf(page).press('Enter')
  answerNow()
  await page.getByRole('heading', { level: 1, name: 'Hello' }).waitFor()
  await page.locator('.bot').getByText('Hello').waitFor()
  await composerOf(page).fill('And then')
  await composerOf(page).press('Enter')
  await page.locator('.bot').getByText('And then').waitFor()
  t.same(await query("SELECT c.name, m.text FROM conversations c JOIN messages m ON m.conversation_id = c.id WHERE sender = 'user' ORDER BY m.id"), [{ name: 'Hello', text: 'Hello' }, { name: 'Hello', text: 'And then' }])
  await page.getByRole('link', { name: 'New conversation' }).click()
  await page.getByRole('heading', { level: 1, name: 'New conversation' }).waitFor()
  t.equal(await composerOf(page).inputValue(), '')
})

t.test('what is written while a new conversation is being created goes along, and the cursor is behind it', { skip: noBrowser }, async t => {
  const { page, url } = await enter(t, 'First')
  const answerNow = await beginSlowly(page, url)
  await page.getByRole('button', { name: 'Send', disabled: true }).waitFor()
  await page.keyboard.type(' How are')
  answerNow()
  await page.locator('.bot').getByText('Hello').waitFor()
  t.equal(await composerOf(page).inputValue(), 'How are')
  await page.keyboard.type(' you')
  t.equal(await composerOf(page).inputValue(), 'How are you')
  await page.reload()
  await composerOf(page).waitFor()
  t.ok(await getsFocus(composerOf(page)))
  await page.keyboard.type('?')
  t.equal(await composerOf(page).inputValue(), 'How are you?')
  await page.keyboard.press('Enter')
  await page.locator('.bot').getByText('How are you?').waitFor()
  await page.getByRole('link', { name: 'New conversation' }).click()
  t.equal(await composerOf(page).inputValue(), '')
})
