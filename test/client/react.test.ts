import { readFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import react from '@vitejs/plugin-react'
import { fromAnotherOrigin, noBrowser, openAt } from '../support/browser.ts'

// The client's hooks in a browser, with React in strict mode, at another origin than the server.

t.setTimeout(900_000)

/** Ann, at a front end, and a chat of hers with a bot that says what the test makes it say. */
async function start (t: Test, app: string) {
  const file = app === 'reply.tsx' ? './reply.tsx' : path.resolve(app)
  const root = t.testdir({
    'index.html': '<div id="root"></div><script type="module" src="/main.tsx"></script>',
    'main.tsx': `import { StrictMode } from 'react'
      import { createRoot } from 'react-dom/client'
      import App from '${file}'
      createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>)`,
    'reply.tsx': `import { useState } from 'react'
      import { createClient } from 'parley'
      import { ParleyProvider, useConversation, useParley, useReply } from 'parley/react'
      const parley = createClient({ url: 'http://localhost:5000' })
      let rendered = 0
      function Reply () {
        const { reply, isReplying, send, stop, regenerate } = useReply(1)
        rendered++
        return <>
          <p>{reply?.text ?? 'nothing'}{isReplying && ' …'}</p><i>{rendered}</i>
          <button onClick={() => send('Hello!')}>Send</button><button onClick={stop}>Stop</button><button onClick={() => regenerate()}>Again</button>
        </>
      }
      const Count = () => <b>{useConversation(1).messages.length + ' of ' + useParley().conversation(1).id}</b>
      export default function App () {
        const [isShown, setIsShown] = useState(true)
        return <ParleyProvider client={parley}>{isShown && <><Reply /><Count /></>}<button onClick={() => setIsShown(!isShown)}>Switch</button></ParleyProvider>
      }
`
  })
  const server = await fromAnotherOrigin(t, api => ({
    configFile: false,
    root,
    resolve: { alias: { 'parley/react': path.resolve('client/react/index.ts'), parley: path.resolve('client/index.ts') } },
    plugins: [react(), { name: 'test-address', enforce: 'pre', transform: code => code.replace('http://localhost:5000', api) }]
  }))
  server.bots.takeOver()
  const ann = await server.as('ann')
  await server.slowChat(ann)
  const { page } = await server.person()
  return { ...server, ann, page }
}

const shows = async (page: Page, ...texts: string[]) => {
  await page.waitForFunction(`JSON.stringify([...document.querySelectorAll('p')].map(p => p.textContent)) === ${JSON.stringify(JSON.stringify(texts))}`)
}
const click = async (page: Page, name: string | RegExp) => await page.getByRole('button', { name }).click()

async function write (page: Page, text: string) {
  await page.locator('input[name=text]').fill(text)
  await click(page, 'Send')
}

t.test('the chat in React of docs/frontend.md', { skip: noBrowser }, async t => {
  const example = readFileSync('docs/frontend/client.tsx', 'utf8')
  t.ok(readFileSync('docs/frontend.md', 'utf8').includes(`\`\`\`tsx\n${example}\`\`\`\n`), 'it is the one that runs here')
  t.ok(example.split('\n').every(line => line.length <= 110), 'no wide lines')
  const { page, origin, ann, bots } = await start(t, 'docs/frontend/client.tsx')
  await page.goto(origin)
  await page.locator('input[name=username]').fill('ann')
  await page.locator('input[name=password]').fill('wrong horse')
  await click(page, 'Log in')
  await page.getByText('Invalid username or password').waitFor()
  await page.locator('input[name=username]').fill('ann')
  await page.locator('input[name=password]').fill('correct horse')
  await click(page, 'Log in')
  await click(page, 'Slow')
  await page.locator('output').getByText('live').waitFor()
  await write(page, 'Hello!')
  const first = await bots.call()
  first.say('One')
  await shows(page, 'ann: Hello!', 'slow: One')
  await click(page, 'Stop')
  await click(page, 'Again')
  const second = await bots.call(2)
  second.say('Two')
  second.end()
  await shows(page, 'ann: Hello!', 'slow: Two')
  await write(page, 'x'.repeat(100_001))
  await click(page, 'Discard')
  await shows(page, 'ann: Hello!', 'slow: Two')

  // A bot that answers at once cannot answer again, and what happens in another conversation is unread.
  await click(page, 'New chat')
  await page.getByRole('button', { name: 'A chat' }).waitFor()
  await page.locator('output').getByText('live').waitFor()
  await shows(page)
  await write(page, 'Hi')
  await shows(page, 'ann: Hi', 'simulated: You said: Hi')
  const refusal = page.waitForEvent('dialog')
  await click(page, 'Again')
  const dialog = await refusal
  t.equal(dialog.message(), 'Only the last reply of a streaming bot can be generated again')
  await dialog.accept()

  const said = ann.post('/api/conversations/1/messages', { text: 'From elsewhere' })
  const third = await bots.call(3)
  third.say('Three')
  third.end()
  await said
  await click(page, 'Slow (1)')
  await shows(page, 'ann: Hello!', 'slow: Two', 'ann: From elsewhere', 'slow: Three')
  await page.getByRole('button', { name: 'Slow', exact: true }).waitFor()
})

t.test('a reply, in a component that is rendered only when the reply changes', { skip: noBrowser }, async t => {
  const { page, origin, ann, bots } = await start(t, 'reply.tsx')
  let streams = 0
  page.on('request', request => { if (request.url().includes('/events?')) streams++ })
  await openAt(page, origin, ann.headers['cookie']!)
  await shows(page, 'nothing')
  await click(page, 'Send')
  const first = await bots.call()
  await shows(page, ' …')
  first.say('One')
  await shows(page, 'One …')
  await click(page, 'Stop')
  await shows(page, 'One')
  await page.locator('b').getByText('2 of 1').waitFor()
  t.equal(streams, 1, 'both components share one connection')
  const rendered = await page.locator('i').textContent()
  await ann.put('/api/conversations/1', { name: 'Renamed' })
  await ann.delete('/api/conversations/1/messages/1')
  await page.locator('b').getByText('1 of 1').waitFor()
  t.equal(await page.locator('i').textContent(), rendered)
  await click(page, 'Again')
  const second = await bots.call(2)
  second.say('Two')
  second.end()
  await shows(page, 'Two')
  await click(page, 'Switch')
  await shows(page)
  await click(page, 'Switch')
  await shows(page, 'Two')
})
