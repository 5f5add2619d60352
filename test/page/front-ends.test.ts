import path from 'node:path'
import t from 'tap'
import { noBrowser } from '../support/browser.ts'
import { ASSISTANT_UI, isDocumented, startFrontEnds, USE_CHAT, USE_CHATS, userOf, walk } from '../support/front-end.ts'
import { startLanguageModel } from '../support/language-model.ts'
import { clientOf, freePort, openPlace, until } from '../support/process.ts'

// assistant-ui in a browser, and every front end that others wrote when its server is killed.

t.setTimeout(900_000)

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

t.test('front ends', { skip: noBrowser }, async t => {
  t.ok(isDocumented('assistant-ui.tsx'), 'the front end with assistant-ui of docs/frontend.md is the one that runs here')
  const server = await startFrontEnds(t, [...USE_CHATS, ASSISTANT_UI, BY_ITSELF, AG_UI])

  await t.test('assistant-ui', async t => { await walk(t, ASSISTANT_UI, server) })

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

  await t.test('a server is killed in the middle of replies, and started again', async t => {
    const model = await startLanguageModel(t)
    const place = await openPlace(t)
    const settings = { ...model.settings, PORT: String(await freePort()), CORS_ORIGINS: server.origin }
    const api = `http://localhost:${settings.PORT}`
    const first = await place.serve(settings)
    const users = []
    for (const frontEnd of [...USE_CHATS, ASSISTANT_UI, AG_UI]) {
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
