import t from 'tap'
import type { Page } from 'playwright-core'
import type { Call } from '../support/slow-bot.ts'
import { barriers, hasFocus, isTooWide, noBrowser, openAt, openBrowser, serveToBrowsers } from '../support/browser.ts'
import { until } from '../support/process.ts'

// The page in a real browser: replies that are more than one text.

t.setTimeout(900_000)

const composerOf = (page: Page) => page.getByRole('textbox', { name: 'Message' })
const CHOICES = { type: 'choices' as const, choices: [{ id: 's', title: 'Small' }, { id: 'l', title: 'Large' }] }

t.test('reasoning is folded, sources are links, choices answer by mouse and keyboard', { skip: noBrowser }, async t => {
  const server = await serveToBrowsers(t)
  server.bots.takeOver()
  const browser = await openBrowser(t)
  const ann = await server.as('ann')
  const id = await server.slowChat(ann)
  const { page } = await browser.person()
  await openAt(page, server.url, ann.headers['cookie']!, `#/c/${id}`)
  const say = async (text: string) => {
    await composerOf(page).fill(text)
    await page.keyboard.press('Enter')
  }
  const answer = (call: Call) => {
    call.say('Which **size**?')
    call.give({ part: { type: 'source', url: 'https://example.com/sizes', title: 'All sizes' }, isSaid: true })
    call.give({ part: { type: 'data', name: 'card', data: 'Secret' }, isSaid: true })
    call.give({ part: CHOICES, isSaid: false })
    call.end()
  }

  await say('A shirt')
  const first = await server.bots.call(1)
  first.think('They want a shirt.\n')
  const reply = page.locator('.bot').last()
  const fold = reply.getByText('Reasoning', { exact: true })
  await fold.waitFor()
  t.notOk(await reply.getByText('They want a shirt.').isVisible(), 'reasoning is folded')
  await fold.focus()
  await page.keyboard.press('Enter')
  await reply.getByText('They want a shirt.').waitFor()
  first.think(' Ask for the size.')
  await reply.getByText('Ask for the size.').waitFor()
  t.ok(await reply.locator('details').evaluate(details => (details as unknown as { open: boolean }).open), 'it stays open while it grows')
  answer(first)
  const small = reply.getByRole('button', { name: 'Small' })
  await small.waitFor()
  t.equal(await reply.locator('strong').textContent(), 'size', 'the text is formatted')
  const source = reply.getByRole('list', { name: 'Sources' }).getByRole('link', { name: 'All sizes' })
  t.match([await source.getAttribute('href'), await source.getAttribute('rel')], ['https://example.com/sizes', /noopener/])
  t.notMatch(await page.locator('.bot').last().innerText(), /Secret|- Small/, 'neither data nor the words for channels with text only are shown')
  t.same(await barriers(page), [])

  await source.focus()
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Shift+Tab')
  t.ok(await hasFocus(small), 'the choices can be reached by Tab')
  await page.keyboard.press('Enter')
  const second = await server.bots.call(2)
  t.match([second.turns.at(-1), second.context.message!.parts], [{ text: 'Small' }, [{ type: 'choice', id: 's', title: 'Small' }]])
  await page.locator('.mine').getByText('Small', { exact: true }).waitFor()
  t.equal(await page.getByRole('button', { name: 'Large' }).count(), 0, 'a choice can be made once')
  await page.locator('.bot').first().getByText('Large', { exact: true }).waitFor()
  await until(async () => await hasFocus(composerOf(page)))
  t.same(await barriers(page), [])

  answer(second)
  await page.getByRole('button', { name: 'Large' }).click()
  const third = await server.bots.call(3)
  t.match(third.turns.at(-1), { text: 'Large' })
  third.end()
  await page.reload()
  await page.locator('.bot').first().getByText('Reasoning', { exact: true }).click()
  await page.getByText('Ask for the size.').waitFor()
  await page.setViewportSize({ width: 320, height: 640 })
  t.notOk(await isTooWide(page))
})
