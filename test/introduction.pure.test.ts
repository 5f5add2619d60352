import t from 'tap'
import { introduce, type Facts } from '../src/introduction.ts'
import { settings } from './support/helper.ts'

const facts: Facts = { address: 'http://127.0.0.1:5000', database: 'the embedded database in ./data', bot: 'simulated', hasAdmin: false }

function introduced (changes: Parameters<typeof settings>[0], more: Partial<Facts>, isTTY: boolean) {
  const said: unknown[] = []
  introduce(settings(changes), { ...facts, ...more }, { info: (...args: unknown[]) => { said.push(args) } }, { isTTY, write: text => { said.push(text) } })
  return said
}

t.test('on a terminal a block says what there is and what to do next', async t => {
  const [block, ...more] = introduced({ DATA_DIR: '/srv/chat' }, {}, true)
  t.same(more, [])
  for (const line of [
    /^ {2}page {6}http:\/\/localhost:5000$/m,
    /^ {2}API docs {2}http:\/\/localhost:5000\/docs$/m,
    /^ {2}data {6}the embedded database in \.\/data$/m,
    /^ {2}bot {7}simulated, .*OPENAI_API_KEY=… make run/m,
    /^ {2}mail {6}written to files in \/srv\/chat\/mail, sent to nobody/m,
    /^ {2}admin {5}nobody yet\. .*make admin USER=ann$/m
  ]) t.match(block, line)
})

t.test('without passwords, the first admin comes from the login provider', async t => {
  t.match(introduced({ PASSWORDS: 'off' }, {}, true), [/^ {2}admin {5}nobody yet\. Set ADMIN_CLAIM, .* docs\/users\.md$/m])
})

t.test('where nobody can sign up, a command creates the first admin', async t => {
  for (const SIGNUP of ['closed', 'invite'] as const) {
    t.match(introduced({ SIGNUP }, {}, true), [/^ {2}admin {5}nobody yet\. To create the account ann, run a command: docs\/admin\.md$/m])
  }
})

t.test('in the log it is one line', async t => {
  const said = introduced({ PUBLIC_URL: 'https://chat.example.com/', OPENAI_API_KEY: 's3cret', SMTP_URL: 'smtp://ann:s3cret@mail.example.com' }, { bot: 'assistant', hasAdmin: true }, false)
  t.match(said, [[{
    page: 'https://chat.example.com',
    'listens at': 'http://127.0.0.1:5000',
    'API docs': 'https://chat.example.com/docs',
    bot: 'assistant, with the model gpt-4.1-mini at api.openai.com',
    mail: 'sent by mail.example.com',
    admin: 'manages users and bots: docs/admin.md'
  }, 'Parley is running']])
  t.notMatch(JSON.stringify(said), 's3cret')
})
