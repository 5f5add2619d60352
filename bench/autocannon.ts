import { readFile } from 'node:fs/promises'
import autocannon from 'autocannon'

// Does what wrk.lua does, on machines without wrk: sends the requests of a file. Each connection begins at a different request.

const [url, connections, seconds, file] = process.argv.slice(2) as [string, string, string, string]
const requests = (await readFile(file, 'utf8')).split('\n').map((line): autocannon.Request => {
  const [method, path, token, body] = line.split('\t')
  return {
    method: method as 'GET' | 'POST',
    path,
    headers: { ...token !== '' && { authorization: `Bearer ${token}` }, ...body !== '' && { 'content-type': 'application/json' } },
    ...body !== '' && { body }
  }
})

let connected = 0
const { requests: { total }, duration, non2xx, errors } = await autocannon({
  url,
  connections: Number(connections),
  duration: Number(seconds),
  setupClient (client) {
    const from = Math.floor(connected++ * requests.length / Number(connections))
    client.setRequests([...requests.slice(from), ...requests.slice(0, from)])
  }
})
process.stdout.write(`${JSON.stringify({ requests: total, seconds: duration, failed: non2xx + errors })}\n`)
