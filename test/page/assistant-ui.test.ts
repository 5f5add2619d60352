import path from 'node:path'
import t from 'tap'
import type { Page } from 'playwright-core'
import { noBrowser } from '../support/browser.ts'
import { isDocumented, rendering, showsIn, startFrontEnd } from '../support/front-end.ts'
import { until } from '../support/process.ts'

// assistant-ui in a browser, with its runtime for the AI SDK.

t.setTimeout(900_000)

async function send (page: Page, text: string) {
  await page.getByLabel('Message', { exact: true }).fill(text)
  await page.keyboard.press('Enter')
}

/** Waits until the page has these messages and no others. */
const shows = async (page: Page, ...texts: string[]) => { await showsIn(page, '[data-message-id]', texts) }
/** Only while a reply is being written, it can be stopped. */
const isRunning = async (page: Page) => { await page.getByRole('button', { name: 'Stop', disabled: false }).waitFor() }
const isReady = async (page: Page) => { await page.getByRole('button', { name: 'Stop', disabled: true }).waitFor() }

t.test('the front end with assistant-ui in docs/frontend.md', { skip: noBrowser }, async t => {
  t.ok(isDocumented('assistant-ui.tsx'), 'it is the one that runs here')
  const server = await startFrontEnd(t, rendering('assistant-ui.tsx'))

  await t.test('a new chat, and a reload', async t => {
    const { client, tab } = await server.user('ann')
    const page = await tab('made-up')
    for (const text of ['Hello', 'Again']) {
      await send(page, text)
      await page.getByText(`assistant: You said: ${text}`).waitFor()
      await isReady(page)
    }
    const all = ['user: Hello', 'assistant: You said: Hello', 'user: Again', 'assistant: You said: Again']
    await shows(page, ...all)
    await page.reload()
    await shows(page, ...all)
    t.equal((await client.get('/api/chat/made-up')).json().length, 4)
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
    await isRunning(page)
    await shows(page, 'user: Hello', 'assistant: One two')
    say(' three')
    end()
    for (const each of [page, other]) {
      await shows(each, 'user: Hello', 'assistant: One two three')
      await isReady(each)
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
    await isRunning(other)
    await page.getByRole('button', { name: 'Stop' }).click()
    for (const each of [page, other]) await isReady(each)
    t.ok(signal.aborted)
    t.match((await client.get('/api/chat/chat')).json()[1].metadata, { status: 'stopped' })

    await page.getByRole('button', { name: 'Regenerate' }).click()
    await reply(2, 'Two')
    await shows(page, 'user: Hello', 'assistant: Two')
    await isReady(page)
    await send(page, 'And?')
    await reply(3, 'Three')
    await shows(page, 'user: Hello', 'assistant: Two', 'user: And?', 'assistant: Three')
    await isReady(page)
    await page.getByRole('button', { name: 'Edit' }).first().click()
    await page.getByLabel('Edited message').fill('Goodbye')
    await page.getByRole('button', { name: 'Save' }).click()
    await reply(4, 'Four')
    await shows(page, 'user: Goodbye', 'assistant: Four')
    await isReady(page)
    await page.getByRole('button', { name: 'Regenerate' }).click()
    await reply(5, 'Five')
    await shows(page, 'user: Goodbye', 'assistant: Five')
    await isReady(page)
    await page.reload()
    await shows(page, 'user: Goodbye', 'assistant: Five')
  })

  await t.test('a reply that fails, and a session that has ended', async () => {
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
  })
})

// With nothing set but the host: `useChatRuntime` makes up the ids of chats, and asks for no history.
const BY_ITSELF = `import { createRoot } from 'react-dom/client'
  import { AssistantRuntimeProvider } from '@assistant-ui/react'
  import { AssistantChatTransport, useChatRuntime } from '@assistant-ui/react-ai-sdk'
  import { Conversation } from '${path.resolve('docs/frontend/assistant-ui.tsx')}'

  const transport = new AssistantChatTransport({ api: 'http://localhost:5000/api/chat', credentials: 'include' })

  function App () {
    const runtime = useChatRuntime({ transport })
    return <AssistantRuntimeProvider runtime={runtime}><Conversation /></AssistantRuntimeProvider>
  }

  createRoot(document.getElementById('root')).render(<App />)`

t.test('useChatRuntime of assistant-ui', { skip: noBrowser }, async t => {
  const server = await startFrontEnd(t, BY_ITSELF)
  const { client, tab } = await server.user('ann')
  const page = await tab()
  await send(page, 'Hello')
  await shows(page, 'user: Hello', 'assistant: You said: Hello')
  await isReady(page)
  await send(page, 'Again')
  await shows(page, 'user: Hello', 'assistant: You said: Hello', 'user: Again', 'assistant: You said: Again')
  await isReady(page)
  const [chat] = await server.query("SELECT id, client_id FROM conversations WHERE name = 'Hello'")
  t.match(chat.client_id, /./)
  await until(async () => (await client.get(`/api/chat/${chat.client_id}`)).json().length === 4)
})
