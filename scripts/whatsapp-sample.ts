import http from 'node:http'
import { randomBytes } from 'node:crypto'
import { sign } from '../src/channels/whatsapp/signature.ts'
import { readConfig } from '../src/config.ts'

// Tries WhatsApp without Meta: npm run whatsapp:sample -- hello. It signs a message and posts it to the server that runs on
// this machine with the same settings. Then it acts as Meta's API, at the address META_API_URL, until the reply arrives.

const PATIENCE = 15_000

const { PORT, META_APP_SECRET = '', META_PHONE_NUMBER_ID, META_API_URL } = readConfig()
const say = (line: string) => { process.stdout.write(`${line}\n`) }
const body = process.argv.slice(2).join(' ') || 'hello'
const api = new URL(META_API_URL)
const phone = '16505551234'
const newId = () => `wamid.${randomBytes(12).toString('hex')}`
const now = () => String(Math.floor(Date.now() / 1000))

if (META_APP_SECRET === '' || !['localhost', '127.0.0.1'].includes(api.hostname) || api.port === '') {
  say('Please start this, and the server, with META_APP_SECRET=any-secret and META_API_URL=http://localhost:5001 (docs/whatsapp.md says more).')
  process.exit(1)
}

const meta = http.createServer(async (request, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const sent = JSON.parse(Buffer.concat(chunks).toString()) as { status?: string, to?: string, text?: { body: string } }
  if (sent.text === undefined) {
    say(`${sent.status}, and typing`)
    return response.end('{"success":true}')
  }
  const id = newId()
  response.end(JSON.stringify({ messaging_product: 'whatsapp', contacts: [{ input: sent.to, wa_id: sent.to }], messages: [{ id }] }))
  say(`${sent.to} < ${sent.text.body}`)
  for (const status of ['sent', 'delivered', 'read']) await deliver({ statuses: [{ id, status, timestamp: now(), recipient_id: phone }] })
  process.exit()
})

meta.listen(Number(api.port), api.hostname, async () => {
  say(`${phone} > ${body}`)
  await deliver({
    contacts: [{ profile: { name: 'Sheena Nelson' }, wa_id: phone }],
    messages: [{ from: phone, id: newId(), timestamp: now(), type: 'text', text: { body } }]
  })
  setTimeout(() => {
    say(`No reply within ${PATIENCE / 1000} s: the server's log says why.`)
    process.exit(1)
  }, PATIENCE)
})

async function deliver (value: object) {
  const metadata = { display_phone_number: '15550783881', phone_number_id: META_PHONE_NUMBER_ID }
  const webhook = JSON.stringify({
    object: 'whatsapp_business_account',
    entry: [{ id: '102290129340398', changes: [{ field: 'messages', value: { messaging_product: 'whatsapp', metadata, ...value } }] }]
  })
  const answer = await fetch(`http://localhost:${PORT}/chat/whatsapp`, {
    method: 'POST', body: webhook, headers: { 'content-type': 'application/json', 'x-hub-signature-256': sign(webhook, META_APP_SECRET) }
  }).catch((error: Error) => {
    say(`No server answers at port ${PORT}: ${String(error.cause ?? error)}`)
    process.exit(1)
  })
  say(`webhook: ${answer.status} ${await answer.text()}`)
}
