import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import react from '@vitejs/plugin-react'
import type { Page } from 'playwright-core'
import { build, preview } from 'vite'
import { openAt, openBrowser, serveToBrowsers } from './browser.ts'
import { freePort, until } from './process.ts'

// Front ends that others wrote, or that docs/frontend.md shows, in a browser and mostly at another origin than the server.

/** A front end, and how a user works with it. */
export interface FrontEnd {
  name: string
  /** A module whose default export is the component `App`. */
  source: string
  /** The packages that take the place of those that the module imports. */
  packages?: Record<string, string>
  /** Selectors: the elements that show messages, the field for a new one, and what is there while a reply is written, and while none is. */
  messages: string
  field: string
  running: string
  ready: string
  /** What it asks for last when it is loaded. Before that is answered, it is not ready, although it may look so. */
  loads: RegExp
  /** Whether it shows replies that follow each other as one message. */
  joinsReplies: boolean
  /** Changes the first message of the user. */
  edit: (page: Page, text: string) => Promise<void>
}

export type FrontEndServer = Awaited<ReturnType<typeof startFrontEnds>>

/** The source of a front end of docs/frontend.md. */
const documented = (file: string) => readFileSync(`docs/frontend/${file}`, 'utf8')

/** Whether docs/frontend.md shows a front end as it runs here, without wide lines. */
export function isDocumented (file: string) {
  return documented('../frontend.md').includes(`\`\`\`tsx\n${documented(file)}\`\`\`\n`) && documented(file).split('\n').every(line => line.length <= 110)
}

/** The packages of each version of the AI SDK. */
export const AI_SDKS: Array<{ name: string, packages: Record<string, string> }> = [
  { name: 'ai-5', packages: { ai: 'ai-5', '@ai-sdk/react': 'ai-5-react' } },
  { name: 'ai-6', packages: { ai: 'ai-6', '@ai-sdk/react': 'ai-6-react' } },
  { name: 'ai-7', packages: {} }
]

/** React's `useChat`, in docs/frontend/use-chat.tsx and on pages of the same form. */
export const USE_CHAT: Omit<FrontEnd, 'name' | 'source'> = {
  messages: 'p:not([role])',
  field: 'input[name=text]',
  running: 'output:text-is("streaming")',
  ready: 'output:text-is("ready")',
  loads: /\/stream$/,
  joinsReplies: false,
  async edit (page, text) {
    page.once('dialog', dialog => dialog.accept(text))
    await page.getByRole('button', { name: 'Edit' }).first().click()
  }
}

/** assistant-ui, in docs/frontend/assistant-ui.tsx. Only while a reply is being written, it can be stopped. */
export const ASSISTANT_UI: FrontEnd = {
  name: 'assistant-ui',
  source: documented('assistant-ui.tsx'),
  messages: '[data-message-id]',
  field: '[aria-label=Message]',
  running: 'button:text-is("Stop"):enabled',
  ready: 'button:text-is("Stop"):disabled',
  loads: /\/stream$/,
  joinsReplies: true,
  async edit (page, text) {
    await page.getByRole('button', { name: 'Edit' }).first().click()
    await page.getByLabel('Edited message').fill(text)
    await page.getByRole('button', { name: 'Save' }).click()
  }
}

export const USE_CHATS: FrontEnd[] = AI_SDKS.map(version => ({ ...USE_CHAT, ...version, source: documented('use-chat.tsx') }))

/**
 * Serves front ends, each in a folder of its own, and starts a server whose bots say what the tests make them say, and a browser.
 * The address of the server is in that of the page, so that a front end can be used with another server, too. Without one, the
 * front end finds the server at its own origin.
 */
export async function startFrontEnds (t: Test, frontEnds: Array<Pick<FrontEnd, 'name' | 'source' | 'packages'>>) {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  const server = await serveToBrowsers(t, { CORS_ORIGINS: origin })
  const root = t.testdir(Object.fromEntries(frontEnds.map(({ name, source, packages = {} }) => [name, {
    'index.html': '<div id="root"></div><script type="module" src="./main.tsx"></script>',
    'main.tsx': `import { createRoot } from 'react-dom/client'
      import App from './app.tsx'
      createRoot(document.getElementById('root')).render(<App />)`,
    'app.tsx': Object.entries(packages).reduce((code, [from, to]) => code.replaceAll(`from '${from}'`, `from '${to}'`), source)
      .replace("'http://localhost:5000", "new URLSearchParams(location.search).get('api') + '")
  }])))
  const common = { configFile: false as const, root, logLevel: 'error' as const, appType: 'mpa' as const }
  await build({ ...common, plugins: [react()], build: { minify: false, rollupOptions: { input: frontEnds.map(({ name }) => path.join(root, name, 'index.html')) } } })
  const pages = await preview({ ...common, preview: { port, strictPort: true, proxy: { '/api': server.url } } })
  t.teardown(() => pages.close())
  const { newContext } = await openBrowser(t)
  const { bots, query } = server
  bots.takeOver()

  /** A browser for a user of a server, logged in. The function that it returns opens a front end. */
  async function open (cookie: string, api = server.url) {
    const context = await newContext()
    return async ({ name, loads }: Pick<FrontEnd, 'name' | 'loads'>, chat: string) => {
      const page = await context.newPage()
      page.on('pageerror', error => { t.fail(error.message) })
      await Promise.all([page.waitForResponse(loads), openAt(page, origin, cookie, `${name}/?api=${api}#${chat}`)])
      return page
    }
  }

  return {
    ...server,
    origin,
    open,
    /** A user with a browser of their own, and their chat `chat` with a bot. */
    async user (username: string) {
      const client = await server.as(username)
      const conversation = await server.slowChat(client)
      await query("UPDATE conversations SET client_id = 'chat' WHERE id = $1", [conversation])
      const before = bots.calls.length
      /** What the bots are asked from now on, counted from 1. */
      const call = async (nth: number) => await bots.call(before + nth)
      return {
        client,
        conversation,
        call,
        calls: () => bots.calls.length - before,
        tab: await open(client.headers['cookie']!),
        /** The bot's next reply, said at once. */
        async reply (nth: number, text: string) {
          const { say, end } = await call(nth)
          say(text)
          end()
        },
        /** Waits until the last message of a chat is stored with this text. */
        async stored (text: string, chat = 'chat') {
          await until(async () => (await client.get(`/api/chat/${chat}`)).json().at(-1)?.parts[0]?.text === text)
        }
      }
    }
  }
}

/** Waits until these elements of the page have these texts, apart from their buttons, and there are no others. */
async function showsIn (page: Page, selector: string, texts: string[]) {
  await page.waitForFunction(`JSON.stringify([...document.querySelectorAll(${JSON.stringify(selector)})].map(element => {
    const shown = element.cloneNode(true)
    for (const button of shown.querySelectorAll('button')) button.remove()
    return shown.textContent
  })) === ${JSON.stringify(JSON.stringify(texts))}`, undefined, { polling: 50 }) // by default a tab in the background looks once a second
}

/** What a user does in a front end, and what they wait for. */
export function userOf ({ messages, field, running, ready, loads }: Pick<FrontEnd, 'messages' | 'field' | 'running' | 'ready' | 'loads'>) {
  return {
    reload: async (page: Page) => { await Promise.all([page.waitForResponse(loads), page.reload()]) },
    async send (page: Page, text: string) {
      await page.locator(field).fill(text)
      await page.keyboard.press('Enter')
    },
    /** The page has these messages and no others. */
    shows: async (page: Page, ...texts: string[]) => { await showsIn(page, messages, texts) },
    isRunning: async (page: Page) => { await page.locator(running).waitFor() },
    isReady: async (page: Page) => { await page.locator(ready).waitFor() },
    says: async (page: Page, problem: string) => { await page.getByRole('alert').getByText(problem, { exact: true }).waitFor() },
    click: async (page: Page, name: string) => { await page.getByRole('button', { name, exact: true }).first().click() }
  }
}

/** What a user finds in every front end: sends, reloads, resumes, stops, asks again, edits, and sees what went wrong. */
export async function walk (t: Test, frontEnd: FrontEnd, server: FrontEndServer) {
  const { name, messages, joinsReplies, edit } = frontEnd
  const { reload, send, shows, isRunning, isReady, says, click } = userOf(frontEnd)
  /** A user of this front end, and a function that opens a chat in a new tab. */
  async function enter (username: string) {
    const user = await server.user(`${username}-${name}`)
    return { ...user, tab: async (chat = 'chat') => await user.tab(frontEnd, chat) }
  }

  await t.test('a new chat, a reload, and a history of 200 kB that comes with each message', async t => {
    const { client, conversation, tab, reply } = await enter('ann')
    const page = await tab('made-up')
    for (const text of ['Hello', 'Again']) {
      await send(page, text)
      await page.getByText(`assistant: You said: ${text}`).waitFor()
      await isReady(page)
    }
    const all = ['user: Hello', 'assistant: You said: Hello', 'user: Again', 'assistant: You said: Again']
    await shows(page, ...all)
    await reload(page)
    await shows(page, ...all)
    t.match((await client.get('/api/conversations')).json()[0], { name: 'Hello', client_id: 'made-up' })

    await server.query(`
      INSERT INTO messages (conversation_id, id, rev, sender, user_id, text)
      SELECT c.id, n, n, sender, CASE sender WHEN 'user' THEN c.owner_id END, repeat('x', 1000)
      FROM conversations c, generate_series(1, 200) n, LATERAL (SELECT CASE n % 2 WHEN 1 THEN 'user' ELSE 'bot' END::sender AS sender) s
      WHERE c.id = $1`, [conversation])
    await server.query('UPDATE conversations SET last_rev = 200 WHERE id = $1', [conversation])
    const long = await tab()
    await long.locator(messages).nth(199).waitFor()
    const asked = long.waitForRequest(request => request.method() === 'POST')
    await send(long, 'Hello')
    t.ok((await asked).postData()!.length > 200_000)
    await reply(1, 'One')
    await long.locator(messages).nth(201).filter({ hasText: 'assistant: One' }).waitFor()
    await isReady(long)
    t.equal(await long.locator(messages).count(), 202)
    for (const each of [page, long]) await each.close()
  })

  await t.test('another tab and a reload resume a reply in the middle', async () => {
    const { tab, call, stored } = await enter('bob')
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
    await reload(page)
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
    const { client, tab, call, reply } = await enter('carol')
    const page = await tab()
    await send(page, 'Hello')
    const { say, signal } = await call(1)
    say('One')
    await shows(page, 'user: Hello', 'assistant: One')
    const other = await tab()
    await isRunning(other)
    await page.bringToFront() // clicks wait until what they hit is drawn, which a tab in the background does once a second
    await click(page, 'Stop')
    for (const each of [page, other]) await isReady(each)
    t.ok(signal.aborted)
    t.match((await client.get('/api/chat/chat')).json()[1].metadata, { status: 'stopped' })

    await click(page, 'Regenerate')
    await reply(2, 'Two')
    await shows(page, 'user: Hello', 'assistant: Two')
    await isReady(page)
    await send(page, 'And?')
    await reply(3, 'Three')
    await shows(page, 'user: Hello', 'assistant: Two', 'user: And?', 'assistant: Three')
    await isReady(page)
    await edit(page, 'Goodbye')
    await reply(4, 'Four')
    await shows(page, 'user: Goodbye', 'assistant: Four')
    await isReady(page)
    await click(page, 'Regenerate')
    await reply(5, 'Five')
    await shows(page, 'user: Goodbye', 'assistant: Five')
    await isReady(page)
    await reload(page)
    await shows(page, 'user: Goodbye', 'assistant: Five')
  })

  await t.test('two bots: the first one replies in the answer, and a reload shows the other one', async () => {
    const { client, tab, call, reply, stored } = await enter('dan')
    await server.query("INSERT INTO chatbots (name, engine) VALUES ('second', 'webhook') ON CONFLICT DO NOTHING")
    await client.post('/api/conversations', { name: 'Two', bots: ['slow', 'second'], client_id: 'two' })
    const all = (second: string) => ['user: @slow @second Hello', ...joinsReplies ? [`assistant: One${second}`] : ['assistant: One', `assistant: ${second}`]]
    const page = await tab('two')
    await send(page, '@slow @second Hello')
    await reply(1, 'One')
    const { say, end } = await call(2)
    await shows(page, 'user: @slow @second Hello', 'assistant: One')
    await isReady(page)
    say('Two')
    await stored('Two', 'two')
    await reload(page)
    await isRunning(page)
    await shows(page, ...all('Two'))
    say(' and more')
    end()
    await shows(page, ...all('Two and more'))
    await isReady(page)
  })

  await t.test('a reply that fails, a message that is sent twice, and a chat and a session that have ended', async t => {
    const { client, conversation, tab, call, calls, reply } = await enter('eve')
    const page = await tab(String(conversation))
    await send(page, 'Hello')
    const { say, fail } = await call(1)
    say('One')
    await shows(page, 'user: Hello', 'assistant: One')
    fail(new Error('gone'))
    await says(page, 'The reply broke off before it was complete.')
    await shows(page, 'user: Hello', 'assistant: One')

    // A proxy repeats the request, and the page gets the answer to the second one.
    await page.route('**/api/chat', async route => {
      const [, response] = await Promise.all([route.fetch({ timeout: 0 }), route.fetch({ timeout: 0 })])
      await route.fulfill({ response })
    })
    await send(page, 'Twice')
    await reply(2, 'Once')
    const all = ['user: Hello', 'assistant: One', 'user: Twice', 'assistant: Once']
    await shows(page, ...all)
    await isReady(page)
    t.equal(calls(), 2)
    await page.unrouteAll()
    await reload(page)
    await shows(page, ...all)

    await client.delete(`/api/conversations/${conversation}`)
    await send(page, 'Still here?')
    await says(page, 'Conversation not found')
    await page.reload()
    await says(page, 'Conversation not found')

    const late = await tab('made-up')
    await client.post('/api/logout')
    await send(late, 'Still here?')
    await says(late, 'Please log in')
    await late.reload()
    await says(late, 'Please log in')
  })
}
