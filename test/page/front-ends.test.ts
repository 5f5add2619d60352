import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { noBrowser } from '../support/browser.ts'
import { documented, isDocumented, startFrontEnds, userOf, walk, type FrontEnd } from '../support/front-end.ts'
import { startLanguageModel } from '../support/language-model.ts'
import { clientOf, freePort, openPlace, until } from '../support/process.ts'

// Front ends that others wrote, in a browser: React's `useChat` of each version of the AI SDK, assistant-ui, and AG-UI's client.

t.setTimeout(900_000)

const VERSIONS: Array<{ name: string, packages: Record<string, string> }> = [
  { name: 'ai-5', packages: { ai: 'ai-5', '@ai-sdk/react': 'ai-5-react' } },
  { name: 'ai-6', packages: { ai: 'ai-6', '@ai-sdk/react': 'ai-6-react' } },
  { name: 'ai-7', packages: {} }
]

const USE_CHAT: Omit<FrontEnd, 'name' | 'source'> = {
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

/** Only while a reply is being written, it can be stopped. */
const ASSISTANT_UI: Omit<FrontEnd, 'name' | 'source'> = {
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

const FRONT_ENDS: FrontEnd[] = [
  ...VERSIONS.map(version => ({ ...USE_CHAT, ...version, source: documented('use-chat.tsx') })),
  { ...ASSISTANT_UI, name: 'assistant-ui', source: documented('assistant-ui.tsx') }
]

// With nothing set but the host: `useChatRuntime` makes up the ids of chats, and asks for no history.
const BY_ITSELF = {
  ...ASSISTANT_UI,
  loads: /\.js$/,
  name: 'by-itself',
  source: `import { AssistantRuntimeProvider } from '@assistant-ui/react'
    import { AssistantChatTransport, useChatRuntime } from '@assistant-ui/react-ai-sdk'
    import { Conversation } from '${path.resolve('docs/frontend/assistant-ui.tsx')}'

    const transport = new AssistantChatTransport({ api: 'http://localhost:5000/api/chat', credentials: 'include' })

    export default function App () {
      const runtime = useChatRuntime({ transport })
      return <AssistantRuntimeProvider runtime={runtime}><Conversation /></AssistantRuntimeProvider>
    }`
}

/** `HttpAgent` as docs/frontend.md says for browsers. It leaves a rejection unhandled when its connection breaks. */
const AG_UI = {
  ...USE_CHAT,
  name: 'ag-ui',
  loads: /\/api\/ag-ui$/,
  source: `import { useEffect, useState } from 'react'
    import { HttpAgent } from '@ag-ui/client'

    addEventListener('unhandledrejection', event => event.preventDefault())
    const agent = new HttpAgent({
      url: 'http://localhost:5000/api/ag-ui',
      threadId: location.hash.slice(1),
      fetch: (url, init) => fetch(url, { ...init, credentials: 'include' })
    })

    export default function App () {
      const [messages, setMessages] = useState([])
      const [problem, setProblem] = useState('')
      const [status, setStatus] = useState('')

      async function run () {
        setProblem('')
        setStatus('streaming')
        await agent.runAgent({}, { onMessagesChanged: ({ messages }) => setMessages([...messages]) }).catch(error => setProblem(error.message))
        setStatus('ready')
      }

      useEffect(() => { run() }, [])

      function send (form) {
        agent.addMessage({ id: crypto.randomUUID(), role: 'user', content: form.get('text') })
        run()
      }

      function regenerate () {
        agent.setMessages(agent.messages.slice(0, -1))
        run()
      }

      return <>
        {messages.map(({ id, role, content }) => <p key={id}>{role}: {content}</p>)}
        {problem && <p role='alert'>{problem}</p>}
        <output>{status}</output>
        <button onClick={regenerate}>Regenerate</button>
        <form action={send}><input name='text' /></form>
      </>
    }`
}

/** The parts of the AI SDK's documentation of streams that can be resumed that are for browsers, each with a page around it. */
const RESUMED = VERSIONS.flatMap(({ name, packages }) => {
  const documentation = readFileSync(`node_modules/${name === 'ai-7' ? 'ai' : 'ai-6'}/docs/04-ai-sdk-ui/03-chatbot-resume-streams.mdx`, 'utf8')
  const examples = [...documentation.matchAll(/```tsx filename="app\/chat\/\[chatId\]\/chat\.tsx"\n(.*?)```/gs)].map(([, code]) => code!)
  const page = `
    import { useEffect, useState } from 'react'

    function Ui ({ messages, sendMessage, status }) {
      return <>
        {messages.map(({ id, role, parts }) => <p key={id}>{role}: {parts.map(part => part.text)}</p>)}
        <output>{status}</output>
        <form action={form => { sendMessage({ text: form.get('text') }) }}><input name='text' /></form>
      </>
    }

    export default function App () {
      const id = location.hash.slice(1)
      const [messages, setMessages] = useState()
      useEffect(() => { fetch('/api/chat/' + id).then(answer => answer.json()).then(setMessages) }, [])
      return messages && <Chat chatData={{ id, messages }} resume />
    }`
  const resumes = examples[0]!.replace('<div>{/* Your chat UI */}</div>', '<Ui messages={messages} sendMessage={sendMessage} status={status} />')
  const stops = examples[2]!.replace('<button onClick={stop}>Stop</button>', '<><button onClick={stop}>Stop</button><Ui {...chat} /></>')
  return [
    { ...USE_CHAT, name: `${name}-resumes`, packages, source: resumes + page },
    { ...USE_CHAT, name: `${name}-stops`, packages, source: stops + page }
  ]
})

t.test('front ends in a browser', { skip: noBrowser }, async t => {
  const server = await startFrontEnds(t, [...FRONT_ENDS, BY_ITSELF, AG_UI, ...RESUMED])

  await t.test('the front ends of docs/frontend.md are those that run here', async t => {
    for (const file of ['use-chat.tsx', 'assistant-ui.tsx']) t.ok(isDocumented(file), file)
  })

  for (const frontEnd of FRONT_ENDS) await t.test(frontEnd.name, async t => { await walk(t, frontEnd, server) })

  await t.test('useChatRuntime of assistant-ui', async t => {
    const { send, shows, isReady } = userOf(BY_ITSELF)
    const { client, tab } = await server.user('ann')
    const page = await tab(BY_ITSELF, '')
    await send(page, 'Hello')
    await shows(page, 'user: Hello', 'assistant: You said: Hello')
    await isReady(page)
    await send(page, 'Again')
    await shows(page, 'user: Hello', 'assistant: You said: Hello', 'user: Again', 'assistant: You said: Again')
    await isReady(page)
    const [chat] = (await client.get('/api/conversations')).json()
    t.match(chat, { name: 'Hello', client_id: /./ })
    await until(async () => (await client.get(`/api/chat/${chat.client_id}`)).json().length === 4)
  })

  for (const { name } of VERSIONS) {
    await t.test(`${name}: the AI SDK's documented example of streams that can be resumed, with no setting and this server in the place of its Redis`, async t => {
      const { reload, send, shows, isRunning, isReady, click } = userOf(USE_CHAT)
      const { client, tab, call, stored } = await server.user(`fay-${name}`)
      const page = await tab({ ...USE_CHAT, name: `${name}-resumes` }, 'chat')
      await send(page, 'Hello')
      const { say, signal } = await call(1)
      say('One')
      await shows(page, 'user: Hello', 'assistant: One')
      await stored('One')
      await reload(page)
      await isRunning(page)
      const other = await tab({ ...USE_CHAT, name: `${name}-stops` }, 'chat')
      await isRunning(other)
      say(' two')
      for (const each of [page, other]) await shows(each, 'user: Hello', 'assistant: One two')
      await click(other, 'Stop')
      for (const each of [page, other]) await isReady(each)
      await until(() => signal.aborted)
      await until(async () => (await client.get('/api/chat/chat')).json()[1].metadata.status === 'stopped')
      await reload(page)
      await shows(page, 'user: Hello', 'assistant: One two')
    })
  }

  await t.test('a server is killed in the middle of replies, and started again', async t => {
    const model = await startLanguageModel(t)
    const place = await openPlace(t)
    const settings = { ...model.settings, PORT: String(await freePort()), CORS_ORIGINS: server.origin }
    const api = `http://localhost:${settings.PORT}`
    const first = await place.serve(settings)
    const users = []
    for (const frontEnd of [...FRONT_ENDS, AG_UI]) {
      const { name } = frontEnd
      const user = userOf(frontEnd)
      const { cookie } = await first.join(name)
      const tab = async () => await (await server.open(cookie, api))(frontEnd, 'chat')
      const page = await tab()
      await user.isReady(page)
      const reply = async () => (await clientOf(api, { cookie }).get('/api/chat/chat')).body[1]
      await user.send(page, name)
      const { say } = await model.call(1, name)
      say('All of it ')
      say('and more')
      await user.shows(page, `user: ${name}`, 'assistant: All of it and more')
      await until(async () => (await reply())?.parts[0]?.text === 'All of it and more')
      users.push({ name, ...user, tab, page, reply })
    }

    first.kill('SIGKILL')
    await first.ended
    for (const { name, page, shows } of users) {
      await page.getByRole('alert').getByText(/./).waitFor()
      await shows(page, `user: ${name}`, 'assistant: All of it and more')
    }

    const again = await place.serve(settings)
    for (const { name, tab, page, reply, shows, isReady, reload, click } of users) {
      await until(async () => (await reply()).metadata.status === 'interrupted')
      const other = await tab()
      await shows(other, `user: ${name}`, 'assistant: All of it and more')
      await isReady(other)
      t.equal(await other.getByRole('alert').count(), 0, name)
      await click(page, 'Regenerate')
      const { say, end } = await model.call(2, name)
      say('Better')
      end()
      for (const each of [page, other]) {
        if (each === other) await reload(other)
        await shows(each, `user: ${name}`, 'assistant: Better')
        await isReady(each)
        t.equal(await each.getByRole('alert').count(), 0)
        await each.context().close()
      }
    }
    again.kill('SIGTERM')
    t.equal((await again.ended).code, 0)
  })
})
