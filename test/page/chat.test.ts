import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { barriers, comesTrue, getsFocus, hasFocus, isTooWide, noBrowser, openAt, openBrowser, serveToBrowsers, signUp } from '../support/browser.ts'
import { isPrompt } from '../support/prompt.ts'

// The page in a real browser: chatting.

t.setTimeout(900_000)

const composerOf = (page: Page) => page.getByRole('textbox', { name: 'Message' })

async function say (page: Page, text: string) {
  await composerOf(page).fill(text)
  await page.keyboard.press('Enter')
}

/** Logs Ann in. She has a conversation with a bot whose replies the test writes; `enter` opens it in a browser. */
async function annAndSlow (t: Test) {
  const server = await serveToBrowsers(t)
  server.bots.takeOver()
  const browser = await openBrowser(t)
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const enter = async (options = {}, client = ann) => {
    const { page } = await browser.person(options)
    await openAt(page, server.url, client.headers['cookie']!, `#/c/${id}`)
    await composerOf(page).waitFor()
    return page
  }
  return { ...server, ...browser, ann, id, enter }
}

t.test('a visitor chats by phone number, from the first screen to the song', { skip: noBrowser }, async t => {
  const { url, query } = await serveToBrowsers(t)
  const { person } = await openBrowser(t)
  const { page } = await person()
  await page.goto(url)
  const phone = page.getByRole('textbox', { name: 'Phone number' })
  await phone.fill('12')
  await page.getByRole('button', { name: 'Start chatting' }).click()
  await page.getByText('Enter a phone number with 3 to 15 digits').waitFor()
  t.ok(await getsFocus(phone), 'the field with the error has the focus')
  await phone.fill('+49 170 1234567')
  await page.keyboard.press('Enter')
  const talk = [['hi', 'Invalid initial input, please say hello.'], ['hello', 'What is your name?'], ['John', 'Hello John, what is your favorite song?']] as const
  for (const [text, answer] of talk) {
    await say(page, text)
    await page.locator('.bot').getByText(answer).waitFor()
  }

  // The server receives the message, but its response is lost.
  await page.route('**/chat', async route => {
    await route.fetch()
    await route.abort()
  })
  await say(page, 'Bohemian Rhapsody')
  await page.getByText('The server cannot be reached').waitFor()
  await page.unroute('**/chat')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.locator('.bot').getByText('Playing Bohemian Rhapsody').waitFor()
  t.equal((await query("SELECT FROM messages WHERE text = 'Bohemian Rhapsody'")).length, 1, 'the message was sent twice and stored once')
})

t.test('a new user signs up and reads a streamed reply, which goes on after a reload', { skip: noBrowser }, async t => {
  const { url, bots, slowChat, clientOf } = await serveToBrowsers(t)
  bots.takeOver()
  const { person } = await openBrowser(t)
  const { page, context } = await person()
  await signUp(page, url, 'ann')
  const [cookie] = await context.cookies()
  t.match(cookie, { name: 'session', httpOnly: true, sameSite: 'Lax' })
  await slowChat(clientOf({ cookie: `${cookie!.name}=${cookie!.value}` }))
  await page.reload()
  await page.getByRole('link', { name: 'New conversation' }).click()
  await page.getByLabel('Slow').check()
  await say(page, 'Tell me a story')
  const call = await bots.call()
  call.say('Once upon ')
  await page.locator('.bot').getByText('Once upon').waitFor()
  await page.getByRole('heading', { level: 1, name: 'Tell me a story' }).waitFor() // the conversation is named after its first message
  call.say('a **time**')
  await page.locator('strong', { hasText: 'time' }).waitFor()
  await page.reload()
  await page.locator('strong', { hasText: 'time' }).waitFor()
  await page.locator('.bot').getByText('Writing…').waitFor()
  call.say(', there was a server.')
  await page.locator('.bot').getByText('Once upon a time, there was a server.').waitFor()
  call.end()
  await page.locator('.bot').getByText('Writing…').waitFor({ state: 'hidden' })
  await page.getByRole('button', { name: 'Regenerate' }).waitFor()
  t.equal(await page.locator('.mine').count(), 1)
})

t.test('a user stops a reply, regenerates it, and edits the question', { skip: noBrowser }, async t => {
  const { bots, enter } = await annAndSlow(t)
  const page = await enter()
  await say(page, 'How are you?')
  const first = await bots.call()
  first.say('As I was ')
  await page.locator('.bot').getByText('As I was').waitFor()
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.locator('.bot').getByText('Stopped.').waitFor()
  t.ok(first.signal.aborted)

  await page.getByRole('button', { name: 'Regenerate' }).click()
  const second = await bots.call(2)
  second.say('Fine.')
  second.end()
  await page.locator('.bot').getByText('Fine.').waitFor()
  await page.locator('.bot').getByText('Stopped.').waitFor({ state: 'hidden' })

  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByLabel('Edit message').fill('How old are you?')
  await page.getByRole('button', { name: 'Save' }).click()
  const third = await bots.call(3)
  t.match(third.turns.at(-1), { text: 'How old are you?' })
  third.fail(new Error('it broke'))
  await page.locator('.bot').getByText('The bot could not reply.').waitFor()
  t.equal(await page.locator('.mine').textContent().then(text => text?.includes('How old are you?')), true)
  t.equal(await page.locator('.message').count(), 2, 'no message was added')
})

t.test('two people in three browsers share one conversation', { skip: noBrowser }, async t => {
  const { bots, as, enter, query } = await annAndSlow(t)
  const [atAnns, bob] = [await enter(), await as('bob')]
  await atAnns.getByRole('button', { name: 'Conversation details' }).click()
  await atAnns.getByLabel('Add a person').fill('nobody')
  await atAnns.getByRole('button', { name: 'Add', exact: true }).first().click()
  await atAnns.getByText('There is no user with this username').waitFor()
  await atAnns.getByLabel('Add a person').fill('bob')
  await atAnns.getByRole('button', { name: 'Add', exact: true }).first().click()
  await atAnns.getByRole('button', { name: 'Remove bob' }).waitFor()
  await atAnns.getByRole('textbox', { name: 'Name' }).fill('Plans')
  await atAnns.getByRole('button', { name: 'Save' }).click()
  await atAnns.getByText('Saved.').waitFor()
  await atAnns.keyboard.press('Escape')
  await atAnns.getByRole('heading', { name: 'Plans' }).waitFor()

  const [atBobs, alsoAtAnns] = [await enter({}, bob), await enter({ colorScheme: 'dark' })]
  await atBobs.getByRole('link', { name: 'Plans' }).waitFor()
  await say(atAnns, 'Hi Bob')
  await atBobs.locator('.theirs', { hasText: 'ann' }).getByText('Hi Bob').waitFor()
  await alsoAtAnns.locator('.mine').getByText('Hi Bob').waitFor()
  const call = await bots.call()
  call.say('I heard ')
  for (const page of [atAnns, atBobs, alsoAtAnns]) await page.locator('.bot').getByText('I heard').waitFor()
  await say(atBobs, 'Hi Ann')
  await atAnns.locator('.theirs', { hasText: 'bob' }).getByText('Hi Ann').waitFor()
  call.say('you.')
  call.end()
  const again = await bots.call(2)
  again.end()
  for (const page of [atAnns, atBobs, alsoAtAnns]) {
    await page.locator('.bot').getByText('I heard you.').waitFor()
    await page.locator('.bot').getByText('Writing…').waitFor({ state: 'hidden' })
    t.same(await page.locator('.message .plain').allTextContents(), ['Hi Bob', 'Hi Ann'], 'each message once, in order')
  }

  await atBobs.getByRole('button', { name: 'Conversation details' }).click()
  await atBobs.getByRole('button', { name: 'Leave conversation' }).click()
  await atBobs.getByRole('alertdialog').getByRole('button', { name: 'Leave' }).click()
  await atBobs.getByText('No conversations yet').waitFor()
  await atAnns.getByRole('button', { name: 'Conversation details' }).click()
  await atAnns.getByLabel('Add a bot').selectOption('favorite-song')
  await atAnns.getByRole('button', { name: 'Add', exact: true }).last().click()
  await atAnns.getByRole('button', { name: 'Remove Favorite song' }).waitFor()
  await atAnns.getByRole('button', { name: 'Remove Slow' }).click()
  await atAnns.getByRole('button', { name: 'Remove Slow' }).waitFor({ state: 'hidden' })
  t.same(await query('SELECT name FROM conversation_bots JOIN chatbots ON chatbots.id = chatbot_id'), [{ name: 'favorite-song' }])
  await atAnns.getByRole('button', { name: 'Delete conversation' }).click()
  await atAnns.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await atAnns.getByText('No conversations yet').waitFor()
})

const EVIL = [
  '<script>window.evil = 1</script>', '<img src=x onerror="window.evil = 2">', '[click](javascript:window.evil=3)', '[click](JaVa\tScript:window.evil=4)',
  '<a href="javascript:window.evil=5">raw</a>', '[data](data:text/html,<script>window.evil=6</script>)', '![spy](https://spy.example/pixel.png)',
  '[fine](https://fine.example/)', '<https://auto.example/>', '[rel](//elsewhere.example)', '`<script>window.evil=7</script>`', '&lt;script&gt; &#60;b&#62; &nope;'
]

t.test('a reply can neither run scripts nor load anything', { skip: noBrowser }, async t => {
  const { bots, enter } = await annAndSlow(t)
  const page = await enter()
  const asked: string[] = []
  page.on('request', request => asked.push(new URL(request.url()).host))
  await say(page, 'Attack me')
  const call = await bots.call()
  call.say(EVIL.join('\n\n'))
  call.say('\n\n```js\nconst answer = 42\n```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n1. one\n2. [x] two')
  call.end()
  await page.locator('.bot table').waitFor()
  t.equal(await page.evaluate('window.evil'), undefined)
  t.same(await page.locator('.markdown').locator('script, img, iframe, style, object').count(), 0)
  const links = await Promise.all((await page.locator('.markdown a').all()).map(async link =>
    await Promise.all(['href', 'rel', 'target'].map(async name => await link.getAttribute(name)))))
  t.same(links, ['https://spy.example/pixel.png', 'https://fine.example/', 'https://auto.example/'].map(href => [href, 'noopener noreferrer', '_blank']))
  await page.locator('.markdown').getByText('<script>window.evil = 1</script>').waitFor()
  await page.locator('.markdown').getByText('<script> <b> &nope;').waitFor()
  t.notOk(asked.includes('spy.example'), 'the image was not requested, so its host does not learn that the reply was read')

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.getByRole('button', { name: 'Copy code' }).click()
  await page.getByRole('button', { name: 'Copied' }).waitFor()
  t.equal(await page.evaluate('navigator.clipboard.readText()'), 'const answer = 42')
  t.same(await barriers(page), [])
})

t.test('a reply whose lines end as on Windows is formatted like any other', { skip: noBrowser }, async t => {
  const { bots, enter } = await annAndSlow(t)
  const page = await enter()
  await say(page, 'From Windows')
  const call = await bots.call()
  call.say('# Title\r\n\r\nText\r\n\r\n| a | b |\r\n|---|--:|\r\n| 1 | 2 |\r\n')
  call.end()
  await page.locator('.bot').getByRole('heading', { name: 'Title', exact: true }).waitFor()
  await page.locator('.bot').getByRole('paragraph').getByText('Text', { exact: true }).waitFor()
  t.same(await page.locator('.bot td').allTextContents(), ['1', '2'])
})

t.test('the page stays usable after replies of 100,000 characters and Markdown that is slow to parse', { skip: noBrowser }, async t => {
  const { bots, enter } = await annAndSlow(t)
  const page = await enter()
  const paragraph = 'A *paragraph* with `code`, [a link](https://example.com) and **bold** text.\n\n- one\n- two\n\n'
  const long = paragraph.repeat(Math.ceil(100_000 / paragraph.length)).slice(0, 99_990) + '\n\nThe end.'
  const wide = `${'|a'.repeat(5_000)}|\n${'|-'.repeat(5_000)}|\n${'|x|\n'.repeat(10_000)}`
  const slow = ['x|\n-|-\n', '1. \\\n#', '<  \n> -\n', '|x|\n|-|\n'].map(lines => lines.repeat(99_000 / lines.length))
  const answers = [long, wide, ...slow, '> '.repeat(50_000), '_a_'.repeat(33_333), '['.repeat(100_000), 'a'.repeat(100_000)]
  for (const [at, answer] of answers.entries()) {
    await say(page, `Number ${at}`)
    const call = await bots.call(at + 1)
    for (let from = 0; from < answer.length; from += 2_000) call.say(answer.slice(from, from + 2_000))
    call.end()
    await page.locator('.bot').getByText('Writing…').waitFor({ state: 'hidden' })
    await page.getByRole('button', { name: 'Regenerate' }).waitFor()
  }
  await page.locator('.bot').getByText('The end.').first().waitFor({ state: 'attached' })
  const began = performance.now()
  await composerOf(page).pressSequentially('Still here')
  await page.keyboard.press('Enter')
  await page.locator('.mine').getByText('Still here').waitFor()
  isPrompt(t, began, 2_000, 'the user can still type and send')
  t.equal(await isTooWide(page), false)
})

t.test('new messages do not move a user who reads older ones, and a button jumps to the latest', { skip: noBrowser }, async t => {
  const { bots, ann, enter, id, query } = await annAndSlow(t)
  await query(`INSERT INTO messages (conversation_id, id, rev, sender, user_id, text, status, created_at)
    SELECT ${id}, n, n, 'user', (SELECT id FROM users WHERE username = 'ann'), 'Message ' || n, 'complete', now() - (200 - n) * interval '1 hour' FROM generate_series(1, 160) n`)
  await query('UPDATE conversations SET last_rev = 160 WHERE id = $1', [id])
  const page = await enter()
  const saying = (text: string) => page.locator('.message').getByText(text, { exact: true })
  await saying('Message 160').waitFor()
  t.ok(await page.locator('.day').count() >= 2, 'the list has a heading for each day')
  const atEnd = page.getByRole('button', { name: 'Jump to latest' })
  await atEnd.waitFor({ state: 'hidden' })

  await page.getByRole('region', { name: 'Slow' }).focus()
  while (await saying('Message 1').count() === 0) await page.keyboard.press('PageUp')
  await saying('Message 3').scrollIntoViewIfNeeded()
  const place = async () => await saying('Message 3').boundingBox()
  await atEnd.waitFor()
  const before = await place()
  const sent = ann.post(`/api/conversations/${id}/messages`, { text: 'From elsewhere' })
  const call = await bots.call()
  call.say('word\n\n'.repeat(200))
  await page.locator('.bot').waitFor({ state: 'attached' })
  t.same(await place(), before, 'the message in view has not moved')
  await atEnd.click()
  await page.locator('.mine').getByText('From elsewhere').waitFor()
  call.say('The last word.')
  const isAtEnd = async () => {
    const { y, height } = (await page.locator('.bot').getByText('The last word.').boundingBox())!
    return y + height < 800
  }
  t.ok(await comesTrue(isAtEnd), 'the list follows the reply to its end')
  call.end()
  await sent
})

t.test('everything works at 320 pixels, by keyboard only, in light and dark, with reduced motion', { skip: noBrowser }, async t => {
  const { url, bots } = await serveToBrowsers(t)
  bots.takeOver()
  const { person } = await openBrowser(t)
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page } = await person({ viewport: { width: 320, height: 640 }, colorScheme, reducedMotion: 'reduce' })
    const isUsable = async (where: string) => {
      t.same(await barriers(page), [], `${where}, ${colorScheme}: axe finds nothing serious`)
      t.equal(await isTooWide(page), false, `${where}: no horizontal scrolling`)
    }
    /** Presses Tab until this element has the focus. */
    const tabTo = async (name: string | RegExp, role: 'button' | 'link' | 'textbox' | 'radio' = 'button') => {
      const target = page.getByRole(role, { name }).first()
      await target.waitFor()
      for (let presses = 0; presses < 60; presses++) {
        if (await hasFocus(target)) return
        await page.keyboard.press('Tab')
      }
      t.fail(`${name} cannot be reached by Tab`)
    }
    await page.goto(url)
    await tabTo('Sign up')
    await page.keyboard.press('Enter')
    await tabTo('Username', 'textbox')
    await page.keyboard.type(colorScheme.padEnd(64, 'W')) // the longest name, without a place where a line could break
    await tabTo('New password', 'textbox')
    await page.keyboard.type('short')
    await page.keyboard.press('Enter')
    await page.getByText('Use 8 to 128 characters.').waitFor()
    await isUsable('signing up')
    await page.keyboard.type(' horse')
    await page.keyboard.press('Enter')
    await page.getByText('No conversations yet').waitFor()
    await isUsable('the list')
    await tabTo('New conversation', 'link')
    await page.keyboard.press('Enter')
    await tabTo('Default', 'radio')
    await page.keyboard.press('ArrowRight')
    await isUsable('a new conversation')
    await tabTo('Message', 'textbox')
    await page.keyboard.type('A first line')
    await page.keyboard.press('Shift+Enter')
    await page.keyboard.type('and a second')
    await page.keyboard.press('Enter')
    await page.locator('.bot').getByText('You said: A first line').waitFor()
    await page.getByRole('button', { name: 'Edit' }).waitFor()
    t.equal(await page.getByRole('button', { name: 'Regenerate' }).count(), 0, 'no Regenerate for a bot that always gives the same reply')
    await isUsable('a conversation')
    await tabTo('Conversation details')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').getByText('simulated').waitFor()
    await isUsable('the details of the conversation')
    await page.keyboard.press('Escape')
    await tabTo('Back', 'link')
    await page.keyboard.press('Enter')
    await tabTo(/Account/, 'link')
    await page.keyboard.press('Enter')
    await page.getByText('This device').waitFor()
    await isUsable('the account')
    await tabTo('Back', 'link')
    await page.keyboard.press('Enter')
    await tabTo('Sign out')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Say hello.' }).waitFor()
    await isUsable('the first screen')
  }
})
