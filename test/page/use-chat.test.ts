import t from 'tap'
import type { Page } from 'playwright-core'
import { noBrowser } from '../support/browser.ts'
import { isDocumented, rendering, showsIn, startFrontEnd } from '../support/front-end.ts'

// React's `useChat` in a browser: the front end of docs/frontend.md with each version of the AI SDK.

t.setTimeout(900_000)

const VERSIONS: Array<[name: string, packages: Record<string, string>]> = [
  ['ai 5', { ai: 'ai-5', '@ai-sdk/react': 'ai-5-react' }],
  ['ai 6', { ai: 'ai-6', '@ai-sdk/react': 'ai-6-react' }],
  ['ai 7', {}]
]

async function send (page: Page, text: string) {
  await page.locator('input[name=text]').fill(text)
  await page.keyboard.press('Enter')
}

/** Waits until the page has these messages and no others. */
const shows = async (page: Page, ...texts: string[]) => { await showsIn(page, 'p:not([role])', texts) }
const hasStatus = async (page: Page, status: string) => { await page.locator('output').getByText(status).waitFor() }

t.test('the front end with useChat in docs/frontend.md is the one that runs here', async t => {
  t.ok(isDocumented('use-chat.tsx'))
})

for (const [version, packages] of VERSIONS) {
  t.test(version, { skip: noBrowser }, async t => {
    const server = await startFrontEnd(t, rendering('use-chat.tsx'), packages)

    await t.test('a new chat, and a reload', async t => {
      const { tab } = await server.user('ann')
      const page = await tab('made-up')
      await send(page, 'Hello')
      await shows(page, 'user: Hello', 'assistant: You said: Hello')
      await hasStatus(page, 'ready')
      await page.reload()
      await shows(page, 'user: Hello', 'assistant: You said: Hello')
      t.same(await server.query("SELECT name FROM conversations WHERE client_id = 'made-up'"), [{ name: 'Hello' }])
    })

    await t.test('another tab and a reload resume a reply in the middle', async () => {
      const { tab, call, stored } = await server.user('bob')
      const page = await tab()
      await send(page, 'Hello')
      const { say, end } = await call(1)
      say('One')
      await shows(page, 'user: Hello', 'assistant: One')
      await stored('One')
      const other = await tab()
      await shows(other, 'user: Hello', 'assistant: One')
      say(' two')
      for (const each of [page, other]) await shows(each, 'user: Hello', 'assistant: One two')
      await page.reload()
      await hasStatus(page, 'streaming')
      await shows(page, 'user: Hello', 'assistant: One two')
      say(' three')
      end()
      for (const each of [page, other]) {
        await shows(each, 'user: Hello', 'assistant: One two three')
        await hasStatus(each, 'ready')
      }
    })

    await t.test('stopped for all tabs, regenerated, and edited', async t => {
      const { client, tab, call, reply } = await server.user('carol')
      const page = await tab()
      await send(page, 'Hello')
      const { say, signal } = await call(1)
      say('One')
      await shows(page, 'user: Hello', 'assistant: One')
      const other = await tab()
      await hasStatus(other, 'streaming')
      await page.getByRole('button', { name: 'Stop' }).click()
      for (const each of [page, other]) await hasStatus(each, 'ready')
      t.ok(signal.aborted)
      t.match((await client.get('/api/chat/chat')).json()[1].metadata, { status: 'stopped' })

      await page.getByRole('button', { name: 'Regenerate' }).click()
      await reply(2, 'Two')
      await shows(page, 'user: Hello', 'assistant: Two')
      await hasStatus(page, 'ready')
      await send(page, 'And?')
      await reply(3, 'Three')
      await shows(page, 'user: Hello', 'assistant: Two', 'user: And?', 'assistant: Three')
      await hasStatus(page, 'ready')
      page.once('dialog', dialog => dialog.accept('Goodbye'))
      await page.getByRole('button', { name: 'Edit' }).first().click()
      await reply(4, 'Four')
      await shows(page, 'user: Goodbye', 'assistant: Four')
      await hasStatus(page, 'ready')
      await page.reload()
      await shows(page, 'user: Goodbye', 'assistant: Four')
    })

    await t.test('a reply that fails, and a session that has ended', async t => {
      const { client, tab, call } = await server.user('dave')
      const page = await tab()
      await send(page, 'Hello')
      const { say, fail } = await call(1)
      say('One')
      await shows(page, 'user: Hello', 'assistant: One')
      fail(new Error('gone'))
      await page.getByRole('alert').getByText('The reply broke off before it was complete.').waitFor()
      await shows(page, 'user: Hello', 'assistant: One')
      await client.post('/api/logout')
      await send(page, 'Still here?')
      await page.getByRole('alert').getByText('Please log in').waitFor()
      t.equal(await page.locator('output').textContent(), 'error')
    })
  })
}
