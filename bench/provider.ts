import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

// A fake model provider with OpenAI's API. It runs in its own process and sends its port to the parent. The last message of
// a request says how many words to answer with, and the pause between two words in milliseconds (20 by default).

process.once('disconnect', () => process.exit()) // the parent process has ended

const server = createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  const { messages } = JSON.parse(body) as { messages: Array<{ content: string }> }
  const { words, every } = /Say (?<words>\d+) words(, one every (?<every>\d+) ms)?/.exec(messages.at(-1)!.content)!.groups as { words: string, every?: string }
  const [most, pause] = [Number(words), Number(every ?? 20)]
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const say = (chunk: object) => response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 0, model: 'bench', ...chunk })}\n\n`)
  const begin = performance.now()
  let said = 0
  const timer = setInterval(() => {
    // Timers are late under load, so send all words that are due by now.
    const due = Math.min(most, Math.floor((performance.now() - begin) / pause) + 1)
    for (; said < due; said++) say({ choices: [{ index: 0, delta: { content: `word${said} ` }, finish_reason: null }] })
    if (said < most) return
    clearInterval(timer)
    say({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
    say({ choices: [], usage: { prompt_tokens: 5, completion_tokens: most, total_tokens: most + 5 } })
    response.end('data: [DONE]\n\n')
  }, pause)
  say({ choices: [{ index: 0, delta: { role: 'assistant', content: `word${said++} ` }, finish_reason: null }] })
  response.on('close', () => clearInterval(timer))
})

server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port))
