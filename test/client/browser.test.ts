import t from 'tap'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { noBrowser, openBrowser, serveToBrowsers } from '../support/browser.ts'

// The client in a browser, on a page of another origin that loads it from the server.

t.setTimeout(900_000)

/** A page at an origin of its own, which the server lists. */
async function start (t: Parameters<typeof openBrowser>[0], script: (api: string) => string) {
  let html = ''
  const site = http.createServer((_request, response) => { response.setHeader('content-type', 'text/html').end(html) })
  t.teardown(() => { site.closeAllConnections(); site.close() })
  await once(site.listen(0, '127.0.0.1'), 'listening')
  const origin = `http://localhost:${(site.address() as AddressInfo).port}`
  const server = await serveToBrowsers(t, { CORS_ORIGINS: origin })
  html = `<!doctype html><meta charset="utf-8"><pre></pre><button>Next</button><script type="module">${script(server.url)}</script>`
  const { person } = await openBrowser(t)
  return { ...server, origin, ...await person() }
}

t.test('a page without a build step sends a message and shows the reply as it is written', { skip: noBrowser }, async t => {
  const { page, origin, as, bots, query } = await start(t, api => `
    import { createClient, ParleyError } from '${api}/client.js'
    const parley = createClient()
    const show = text => { document.querySelector('pre').textContent = text }
    try { await parley.signIn({ username: 'ann', password: 'wrong horse' }) } catch (error) {
      show([error instanceof ParleyError, error.code, error.message].join(' '))
    }
    document.querySelector('button').onclick = async () => {
      await parley.signIn({ username: 'ann', password: 'correct horse' })
      const chat = await parley.create({ name: 'Plans', bots: ['slow'] })
      chat.follow(({ messages, isReplying }) => show(messages.map(({ username, text }) => username + ': ' + text).join(', ') + (isReplying ? ' …' : '')))
      await chat.send('Hello!')
    }`)
  await as('ann')
  await query("INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook')")
  bots.takeOver()
  const shows = async (text: string) => { await page.locator('pre').getByText(text, { exact: true }).waitFor() }
  await page.goto(origin)
  await shows('true INVALID_CREDENTIALS Invalid username or password')
  await page.getByRole('button').click()
  const { say, end } = await bots.call()
  say('Hi')
  await shows('ann: Hello!, slow: Hi …')
  say(' there')
  await shows('ann: Hello!, slow: Hi there …')
  end()
  await shows('ann: Hello!, slow: Hi there')
})

t.test('the page of docs/frontend.md', { skip: noBrowser }, async t => {
  const example = readFileSync('docs/frontend/send.js', 'utf8')
  t.ok(readFileSync('docs/frontend.md', 'utf8').includes(`\`\`\`js\n${example}\`\`\`\n`), 'it is the one that runs here')
  t.ok(example.split('\n').length <= 15 && example.split('\n').every(line => line.length <= 110))
  const { page, origin, as } = await start(t, api => example.replace('http://localhost:5000', api))
  await as('ann')
  await page.goto(origin)
  await page.waitForFunction("document.body.innerText === 'ann: Hello!\\nsimulated: You said: Hello!'")
})

t.test('without a network a message waits, and is sent when the browser is online again', { skip: noBrowser }, async t => {
  const { page, context, origin, as, query } = await start(t, api => `
    import { createClient } from '${api}/client.js'
    const parley = createClient()
    await parley.signIn({ username: 'ann', password: 'correct horse' })
    const chat = await parley.create({ name: 'Plans' })
    chat.follow(({ connection, messages, unsent }) => {
      document.querySelector('pre').textContent = [connection, ...messages.map(({ text }) => text), ...unsent.map(({ text, status }) => text + ' ' + status)].join(', ')
    })
    document.querySelector('button').onclick = () => chat.send('Hello!')`)
  await as('ann')
  const shows = async (text: string) => { await page.locator('pre').getByText(text, { exact: true }).waitFor() }
  await page.goto(origin)
  await shows('live')
  await context.setOffline(true)
  await page.getByRole('button').click()
  await page.locator('pre').getByText('Hello! waiting').waitFor()
  await context.setOffline(false)
  await shows('live, Hello!, You said: Hello!')
  t.match(await query('SELECT text FROM messages ORDER BY id'), [{ text: 'Hello!' }, { text: 'You said: Hello!' }])
})
