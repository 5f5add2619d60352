import t from 'tap'
import { readFileSync } from 'node:fs'
import { readTrustedIssuers } from '../../src/text/trusted-issuers.ts'

const read = (...issuers: unknown[]) => readTrustedIssuers(JSON.stringify(issuers))
const right = { issuer: 'https://example.com', audience: 'parley' }

t.test('valid values of TRUSTED_ISSUERS', async t => {
  t.same(read(), [])
  t.same(read(right), [right])
  const others = [
    { ...right, audience: ['a', 'b'], claims: { name: 'full_name', session: 'session_id' }, admin_claim: 'role=admin' },
    { issuer: 'accounts', audience: 'parley', jwks: 'http://localhost:8080/jwks' },
    { issuer: 'my-app', audience: 'parley', secret: 's'.repeat(32) }
  ]
  t.same(read(...others), others)
})

t.test('the examples in docs/users.md are valid', async t => {
  const examples = [...readFileSync('docs/users.md', 'utf8').matchAll(/^TRUSTED_ISSUERS='(.*)'$/gm)].map(([, text]) => text!)
  t.equal(examples.length, 7)
  for (const text of examples) t.equal(readTrustedIssuers(text)?.length, 1, text)
})

t.test('invalid values of TRUSTED_ISSUERS', async t => {
  for (const text of ['', 'nonsense', '{}', '[null]', '["https://example.com"]']) t.equal(readTrustedIssuers(text), undefined, text)
  for (const wrong of [
    { audience: 'parley' }, { issuer: 'https://example.com' }, { ...right, audience: [] }, { ...right, audience: 7 }, { ...right, issuer: '' },
    { ...right, secret: 'too short' }, { ...right, secret: 's'.repeat(32), jwks: 'https://example.com/jwks' },
    { ...right, issuer: 'no address' }, { ...right, issuer: 'file:///etc/passwd' }, { ...right, jwks: 'nonsense' },
    { ...right, clams: {} }, { ...right, claims: { nom: 'name' } }, { ...right, admin_claim: 'admin' }
  ]) t.equal(read(wrong), undefined, JSON.stringify(wrong))
  t.equal(read(right, { ...right, audience: 'another' }), undefined, 'the same issuer twice')
})
