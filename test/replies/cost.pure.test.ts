import t from 'tap'
import type { TokenUsage } from '../../src/bots/bot.ts'
import { createMeter } from '../../src/replies/cost.ts'

// Counting the tokens of a reply while it is generated.

t.test('a meter counts tokens only when necessary', async t => {
  const charged = { user: 1, apiKeyHash: null, bot: 'slow' }
  const usage: TokenUsage = { promptTokens: 3, completionTokens: 2 }
  t.equal(await createMeter(charged).total('text'), null)
  const meter = createMeter(charged)
  let isCounted = false
  meter.begins({ model: 'small', roughPromptTokens: 7, count: async () => { isCounted = true; return { promptTokens: 8, completionTokens: 1 } } })
  const rough = meter.news()
  t.match(rough, { prompt_tokens: 7, is_estimate: true, model: 'small' })
  t.notOk('completion_tokens' in rough!)
  meter.heard(usage)
  meter.noteStored(rough)
  t.match(meter.news(), { prompt_tokens: 3 }, 'the provider has reported new numbers meanwhile')
  meter.noteStored(meter.news())
  t.equal(meter.news(), null)
  t.match(await meter.total('text'), { prompt_tokens: 3, completion_tokens: 2, is_estimate: false, model: 'small' })
  t.equal(isCounted, false)
  meter.heard({ ...usage, model: 'exact' })
  t.match(await meter.total(''), { model: 'exact' })
})

t.test('an estimate counts the reasoning, unless it was text after all', async t => {
  const meter = createMeter({ user: 1, apiKeyHash: null, bot: 'slow' })
  meter.begins({ model: 'small', roughPromptTokens: 7, count: async text => ({ promptTokens: 8, completionTokens: text.length }) })
  meter.thinks('They ')
  meter.thinks('greet')
  t.match(await meter.total('Hi'), { completion_tokens: 12, is_estimate: true })
  meter.thinks('', true)
  t.match(await meter.total('They greet'), { completion_tokens: 10 })
})
