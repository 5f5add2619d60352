import { readFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import react from '@vitejs/plugin-react'
import { fromAnotherOrigin, noBrowser, openAt } from '../support/browser.ts'
import { isStored } from '../support/slow-replies.ts'

// React's `useChat` in a browser, at another origin than the server: the front end of docs/frontend.md.

t.setTimeout(900_000)

/** Ann, at the front end, and a chat of hers with a bot that says what the test makes it say. */
async function start (t: Test) {
  const root = t.testdir({
    'index.html': '<div id="root"></div><script type="module" src="/main.tsx"></script>',
    'main.tsx': `import { createRoot } from 'react-dom/client'
      import App from '${path.resolve('docs/frontend/use-chat.tsx')}'
      createRoot(document.getElementById('root')).render(<App />)`
  })
  const server = await fromAnotherOrigin(t, api => ({
    configFile: false,
    root,
    plugins: [react(), { name: 'test-address', enforce: 'pre', transform: code => code.replace('http://localhost:5000', api) }]
  }))
  server.bots.takeOver()
  const ann = await server.as('ann')
  await server.slowChat(ann)
  await server.query("UPDATE conversations SET client_id = 'chat'")
  const { context } = await server.person()
  return {
    ...server,
    ann,
    context,
    /** A tab of the browser in which Ann is logged in. */
    async tab (chat = 'chat') {
      const page = await context.newPage()
      page.setDefaultTimeout(60_000)
      await openAt(page, server.origin, ann.headers['cookie']!, `#${chat}`)
      await page.getByRole('button', { name: 'Send' }).waitFor()
      return page
    },
    /** The bot's next reply, said at once. */
    async reply (times: number, text: string) {
      const { say, end } = await server.bots.call(times)
      say(text)
      end()
    }
  }
}

async function send (page: Page, text: string) {
  await page.locator('input[name=text]').fill(text)
  await page.keyboard.press('Enter')
}

/** Waits until the page has these messages and no others. */
const shows = async (page: Page, ...texts: string[]) => {
  await page.waitForFunction(`JSON.stringify([...document.querySelectorAll('p:not([role])')].map(p => p.textContent.replace(/Edit$/, ''))) === ${JSON.stringify(JSON.stringify(texts))}`)
}
const isReady = async (page: Page) => { await page.locator('output').getByText('ready').waitFor() }

t.test('the front end with useChat in docs/frontend.md', { skip: noBrowser }, async t => {
  const example = readFileSync('docs/frontend/use-chat.tsx', 'utf8')
  t.ok(readFileSync('docs/frontend.md', 'utf8').includes(`\`\`\`tsx\n${example}\`\`\`\n`), 'it is the one that runs here')
  t.ok(example.split('\n').every(line => line.length <= 110), 'no wide lines')
  const { tab, query } = await start(t)
  const page = await tab('made-up')
  await send(page, 'Hello')
  await shows(page, 'user: Hello', 'assistant: You said: Hello')
  await isReady(page)
  await page.reload()
  await shows(page, 'user: Hello', 'assistant: You said: Hello')
  t.same(await query("SELECT name FROM conversations WHERE client_id = 'made-up'"), [{ name: 'Hello' }])
})

t.test('another tab and a reload resume a reply in the middle', { skip: noBrowser }, async t => {
  const server = await start(t)
  const { tab, bots } = server
  const page = await tab()
  await send(page, 'Hello')
  const { say, end } = await bots.call()
  say('One')
  await shows(page, 'user: Hello', 'assistant: One')
  await isStored(server, 2, 'One')
  const other = await tab()
  await shows(other, 'user: Hello', 'assistant: One')
  say(' two')
  for (const each of [page, other]) await shows(each, 'user: Hello', 'assistant: One two')
  await page.reload()
  await page.locator('output').getByText('streaming').waitFor()
  await shows(page, 'user: Hello', 'assistant: One two')
  say(' three')
  end()
  for (const each of [page, other]) {
    await shows(each, 'user: Hello', 'assistant: One two three')
    await isReady(each)
  }
})

t.test('stopped for all tabs, regenerated, and edited', { skip: noBrowser }, async t => {
  const { tab, bots, reply, ann } = await start(t)
  const page = await tab()
  await send(page, 'Hello')
  const { say, signal } = await bots.call()
  say('One')
  await shows(page, 'user: Hello', 'assistant: One')
  const other = await tab()
  await other.locator('output').getByText('streaming').waitFor()
  await page.getByRole('button', { name: 'Stop' }).click()
  for (const each of [page, other]) await isReady(each)
  t.ok(signal.aborted)
  t.match((await ann.get('/api/chat/chat')).json()[1].metadata, { status: 'stopped' })

  await page.getByRole('button', { name: 'Regenerate' }).click()
  await reply(2, 'Two')
  await shows(page, 'user: Hello', 'assistant: Two')
  await isReady(page)
  await send(page, 'And?')
  await reply(3, 'Three')
  await shows(page, 'user: Hello', 'assistant: Two', 'user: And?', 'assistant: Three')
  await isReady(page)
  page.once('dialog', dialog => dialog.accept('Goodbye'))
  await page.getByRole('button', { name: 'Edit' }).first().click()
  await reply(4, 'Four')
  await shows(page, 'user: Goodbye', 'assistant: Four')
  await isReady(page)
  await page.reload()
  await shows(page, 'user: Goodbye', 'assistant: Four')
})

t.test('a reply that fails, and a session that has ended', { skip: noBrowser }, async t => {
  const { tab, bots, ann } = await start(t)
  const page = await tab()
  await send(page, 'Hello')
  const { say, fail } = await bots.call()
  say('One')
  await shows(page, 'user: Hello', 'assistant: One')
  fail(new Error('gone'))
  await page.getByRole('alert').getByText('The reply broke off before it was complete.').waitFor()
  await shows(page, 'user: Hello', 'assistant: One')
  await ann.post('/api/logout')
  await send(page, 'Still here?')
  await page.getByRole('alert').getByText('Please log in').waitFor()
  t.equal(await page.locator('output').textContent(), 'error')
})
