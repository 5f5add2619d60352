import { readFileSync } from 'node:fs'
import t from 'tap'
import { noBrowser } from '../support/browser.ts'
import { AI_SDKS, isDocumented, startFrontEnds, USE_CHAT, USE_CHATS, userOf, walk } from '../support/front-end.ts'
import { until } from '../support/process.ts'

// React's `useChat` in a browser, of each version of the AI SDK.

t.setTimeout(900_000)

/** The parts of the AI SDK's documentation of streams that can be resumed that are for browsers, each with a page around it. */
const RESUMED = AI_SDKS.flatMap(({ name, packages }) => {
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

t.test('useChat', { skip: noBrowser }, async t => {
  t.ok(isDocumented('use-chat.tsx'), 'the front end of docs/frontend.md is the one that runs here')
  const server = await startFrontEnds(t, [...USE_CHATS, ...RESUMED])

  for (const frontEnd of USE_CHATS) await t.test(frontEnd.name, async t => { await walk(t, frontEnd, server) })

  for (const { name } of AI_SDKS) {
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
})
