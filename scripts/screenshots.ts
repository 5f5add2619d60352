import { mkdtemp, rm } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import os from 'node:os'
import path from 'node:path'
import { LLMock } from '@copilotkit/aimock'
import { chromium, type BrowserContextOptions, type Page } from 'playwright-core'
import { CHROMIUM, FLAGS } from '../test/support/browser.ts'
import { freePort } from '../test/support/process.ts'

// Makes the screenshots in docs/. They show the built server with a new database and a fake language model with fixed answers.

const FOLDER = 'docs'
const TALK: Array<[string, RegExp, string]> = [
  ['A song for the weekend?', /song/, 'How about **Bohemian Rhapsody**? Six minutes, no chorus, and everybody knows the words.'],
  ['Names for a cat', /cat/, 'Miso, Pixel or Olive. Or *Commander Fluff*, once she has earned it.'],
  ['What do I do in Lisbon when it rains?', /rain/, `Three good ideas for a rainy day in **Lisbon**:

1. The *Museu Nacional do Azulejo*: five centuries of tiles, in a convent.
2. The *MAAT*, for its roof as much as for what hangs below it.
3. A fado evening in Alfama: [book a table](https://example.com) early.

How wet it will be, \`curl\` knows:

\`\`\`sh
curl 'wttr.in/Lisbon?format=3'
\`\`\`

Shall I plan a whole day around one of them?`]
]

const folder = await mkdtemp(path.join(os.tmpdir(), 'parley-screenshots-'))
const model = new LLMock({ port: 0 })
for (const [, question, content] of TALK) model.onMessage(question, { content })
await model.start()
const port = await freePort()
const url = `http://localhost:${port}`
const server = spawn(process.execPath, [path.resolve('dist/server.js')], {
  cwd: folder,
  stdio: ['ignore', 'ignore', 'inherit'],
  env: { ...process.env, PORT: String(port), DATA_DIR: folder, OPENAI_API_KEY: 'any', OPENAI_BASE_URL: `${model.url}/v1`, LOG_LEVEL: 'error' }
})
const browser = await chromium.launch({ executablePath: CHROMIUM!, args: FLAGS })
try {
  while (!await fetch(`${url}/health/ready`).then(({ ok }) => ok, () => false)) await new Promise(resolve => setTimeout(resolve, 100))
  await makeAll()
} finally {
  await browser.close()
  server.kill('SIGTERM')
  await once(server, 'close')
  await model.stop()
  await rm(folder, { recursive: true })
}

async function makeAll () {
  const wide: BrowserContextOptions = { viewport: { width: 1180, height: 760 } }
  const start = await open(wide)
  await picture(start, 'page-start')
  await start.getByRole('textbox', { name: 'Phone number' }).fill('+49 170 1234567')
  await start.keyboard.press('Enter')
  for (const [text, answer] of [['hello', 'What is your name?'], ['John', 'Hello John'], ['Bohemian Rhapsody', 'Playing Bohemian Rhapsody']]) {
    await say(start, text!)
    await start.locator('.bot').getByText(answer!).waitFor()
  }
  await picture(start, 'page-phone')

  const page = await open(wide)
  await page.getByRole('button', { name: 'Sign up' }).first().click()
  await page.getByRole('textbox', { name: 'Username' }).fill('ann')
  await page.getByLabel('New password').fill('correct horse')
  await page.keyboard.press('Enter')
  for (const [text] of TALK) {
    await page.getByRole('link', { name: 'New conversation' }).click()
    await page.getByRole('heading', { name: 'What would you like to talk about?' }).waitFor()
    await say(page, text)
    await page.getByRole('heading', { name: text }).waitFor()
    await page.getByRole('button', { name: 'Regenerate' }).waitFor()
  }
  await page.locator('.bot strong').waitFor()
  await picture(page, 'page-chat')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.setViewportSize({ width: 390, height: 760 })
  await picture(page, 'page-narrow')
}

async function open (options: BrowserContextOptions) {
  const page = await (await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce', ...options })).newPage()
  await page.goto(url)
  return page
}

async function say (page: Page, text: string) {
  await page.getByRole('textbox', { name: 'Message' }).fill(text)
  await page.keyboard.press('Enter')
}

async function picture (page: Page, name: string) {
  await page.screenshot({ path: path.join(FOLDER, `${name}.png`), caret: 'hide' })
}
