/** A server-sent event. `id` is the position after it, from which to continue; left out if it has not changed. `data` is parsed JSON. */
export interface ServerEvent { event: string, id: string | undefined, data: unknown }

/**
 * Reads server-sent events until the stream ends. Events that arrive together are passed to `hear` together. `beat` is called for
 * every chunk, also for one that has only comments.
 */
export async function readEvents (body: ReadableStream<Uint8Array>, hear: (events: ServerEvent[]) => void | Promise<void>, beat: () => void) {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    beat()
    const blocks = (rest + decoder.decode(value, { stream: true })).split('\n\n')
    rest = blocks.pop()!
    if (blocks.length > 0) await hear(blocks.map(parse))
  }
}

function parse (block: string): ServerEvent {
  const fields = new Map(block.split('\n').map(line => {
    const [name = ''] = line.split(': ', 1)
    return [name, line.slice(name.length + 2)]
  }))
  return { event: fields.get('event')!, id: fields.get('id'), data: JSON.parse(fields.get('data')!) }
}
