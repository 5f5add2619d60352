import t from 'tap'
import { botTitle } from '../../web/src/chat/bot-title.ts'
import { previewOf } from '../../web/src/chat/preview.ts'

t.test('the list of conversations shows a reply without its Markdown', async t => {
  const previews: Array<[string, string]> = [
    ['How about **Bohemian Rhapsody**? *Six* minutes.', 'How about Bohemian Rhapsody? Six minutes.'],
    ['## Ideas\n\n1. One\n- [x] two\n* three\n> four', 'Ideas 1. One two three four'],
    ['See [the docs](https://example.com) and ![a cat](cat.png)', 'See the docs and a cat'],
    ['Run:\n```sh\ncurl `x`\n```\nDone', 'Run: curl x Done'],
    ['| a | b |\n|---|--:|\n| 1 | 2 |', 'a b 1 2'],
    ['snake_case_name, 2 * 3 * 4 and \\*stars\\*', 'snake_case_name, 2 * 3 * 4 and *stars*'],
    ['שלום **עולם**', 'שלום עולם'],
    ['', '']
  ]
  for (const [markdown, preview] of previews) t.equal(previewOf(markdown), preview)
  t.ok(previewOf('a'.repeat(100_000)).length <= 500)
  t.ok(previewOf('*_'.repeat(50_000)).length <= 500)
})

t.test('bots have readable titles', async t => {
  const titles = { 'favorite-song': 'Favorite song', simulated: 'Simulated', help_desk: 'Help desk', HelpDesk: 'HelpDesk', 'gpt-4o': 'gpt-4o', 'Dr. No': 'Dr. No' }
  for (const [name, title] of Object.entries(titles)) t.equal(botTitle(name), title)
})
