import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import react from '@vitejs/plugin-react'
import type { Page } from 'playwright-core'
import { fromAnotherOrigin, openAt } from './browser.ts'
import { until } from './process.ts'

// Front ends of docs/frontend.md in a browser, at another origin than the server.

/** How a front end begins: the component `App` of a file in docs/frontend. */
export const rendering = (file: string) => `import { createRoot } from 'react-dom/client'
  import App from '${path.resolve(`docs/frontend/${file}`)}'
  createRoot(document.getElementById('root')).render(<App />)`

/**
 * A front end that `main` starts, and a server whose bots say what the tests make them say. `packages` says which packages take
 * the place of those that the front end imports.
 */
export async function startFrontEnd (t: Test, main: string, packages: Record<string, string> = {}) {
  const root = t.testdir({ 'index.html': '<div id="root"></div><script type="module" src="/main.tsx"></script>', 'main.tsx': main })
  const server = await fromAnotherOrigin(t, api => ({
    configFile: false,
    root,
    cacheDir: path.join(root, '.vite'), // test files that run at the same time have different packages
    resolve: { alias: Object.entries(packages).map(([name, replacement]) => ({ find: new RegExp(`^${name}$`), replacement })) },
    plugins: [react(), { name: 'test-address', enforce: 'pre', transform: code => code.replace('http://localhost:5000', api) }]
  }))
  const { bots, query, origin } = server
  await prepare(origin, '/main.tsx')
  bots.takeOver()
  return {
    ...server,
    /** A user with a browser of their own, and their chat `chat` with a bot. */
    async user (username: string) {
      const client = await server.as(username)
      await query("UPDATE conversations SET client_id = 'chat' WHERE id = $1", [await server.slowChat(client)])
      const { context } = await server.person()
      const before = bots.calls.length
      /** What this user's bots were asked, counted from 1. */
      const call = async (nth: number) => await bots.call(before + nth)
      return {
        client,
        call,
        async tab (chat = 'chat') {
          const page = await context.newPage()
          await openAt(page, origin, client.headers['cookie']!, `#${chat}`)
          await page.getByRole('button', { name: 'Send' }).waitFor()
          return page
        },
        /** The bot's next reply, said at once. */
        async reply (nth: number, text: string) {
          const { say, end } = await call(nth)
          say(text)
          end()
        },
        /** Waits until the last message of the chat is stored with this text. */
        async stored (text: string) {
          await until(async () => (await client.get('/api/chat/chat')).json().at(-1)?.parts[0]?.text === text)
        }
      }
    }
  }
}

/** Has Vite make a module ready, and all that it imports. The first time, that may take longer than a browser waits for a page. */
async function prepare (origin: string, path: string, seen = new Set<string>()) {
  if (seen.has(path)) return
  seen.add(path)
  const code = await (await fetch(`${origin}${path}`)).text()
  for (const [, next] of code.matchAll(/\b(?:from|import)\s*"(\/[^"]+)"/g)) await prepare(origin, next!, seen)
}

/** Whether docs/frontend.md shows a front end as it runs here, without wide lines. */
export function isDocumented (file: string) {
  const example = readFileSync(`docs/frontend/${file}`, 'utf8')
  return readFileSync('docs/frontend.md', 'utf8').includes(`\`\`\`tsx\n${example}\`\`\`\n`) && example.split('\n').every(line => line.length <= 110)
}

/** Waits until these elements of the page have these texts, apart from their buttons, and there are no others. */
export async function showsIn (page: Page, selector: string, texts: string[]) {
  await page.waitForFunction(`JSON.stringify([...document.querySelectorAll(${JSON.stringify(selector)})].map(element => {
    const shown = element.cloneNode(true)
    for (const button of shown.querySelectorAll('button')) button.remove()
    return shown.textContent
  })) === ${JSON.stringify(JSON.stringify(texts))}`)
}
