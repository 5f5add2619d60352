import t from 'tap'
import { createLimiter } from '../../src/http/limiter.ts'

t.test('a limiter counts by key, says when to try again, and can check without counting', async t => {
  const limiter = createLimiter(2, 60)
  await limiter.check('a')
  await limiter.count('a')
  await limiter.check('a')
  await limiter.count('a')
  const tooMany = { statusCode: 429, code: 'TOO_MANY_REQUESTS' }
  await t.rejects(limiter.check('a'), { ...tooMany, retryAfter: 60 })
  await t.rejects(limiter.count('a'), { ...tooMany, retryAfter: 60 })
  await t.resolves(limiter.count('b'))
  await t.resolves(limiter.count(1))
})
