import { createInterface } from 'node:readline/promises'
import { HttpAgent } from '@ag-ui/client'

const agent = new HttpAgent({
  url: 'http://localhost:5000/api/ag-ui',
  headers: { Authorization: `Bearer ${process.env['TOKEN']}` },
  threadId: process.argv[2] ?? crypto.randomUUID() // the first message of a new thread begins a conversation
})

const input = createInterface({ input: process.stdin, output: process.stdout })
for await (const text of input) {
  agent.addMessage({ id: crypto.randomUUID(), role: 'user', content: text })
  await agent.runAgent({}, {
    onTextMessageStartEvent ({ event }) { process.stdout.write(`${event.name}: `) },
    onTextMessageContentEvent ({ event }) { process.stdout.write(event.delta) },
    onTextMessageEndEvent () { process.stdout.write('\n') },
    onRunErrorEvent ({ event }) { console.error(event.message) }
  })
}
