import t from 'tap'
import type { AddressInfo } from 'node:net'
import axios, { type AxiosError, type AxiosResponse } from 'axios'
import { startApp } from '../support/helper.ts'

// A front end written for the API of seed 002, with axios configured as that API's documentation says. In Node.js axios keeps
// no cookies, so two interceptors keep them as a browser would.
const FRONT_END = 'http://localhost:3000'
let page = FRONT_END // the origin of the page that the browser shows
const cookies = new Map<string, string>()

axios.defaults.withCredentials = true
axios.defaults.headers.common['Content-Type'] = 'application/json'
axios.interceptors.request.use(config => {
  config.headers.set('Origin', page)
  if (cookies.size > 0) config.headers.set('Cookie', [...cookies].map(([name, value]) => `${name}=${value}`).join('; '))
  return config
})
axios.interceptors.response.use(keepCookies, (error: AxiosError) => { throw Object.assign(error, { response: keepCookies(error.response!) }) })

function keepCookies (response: AxiosResponse) {
  const { headers } = response
  for (const line of headers['set-cookie'] ?? []) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
    if (/max-age=0/i.test(line)) cookies.delete(name!)
    else cookies.set(name!, value!)
  }
  if (headers['access-control-allow-origin'] !== page || headers['access-control-allow-credentials'] !== 'true') {
    throw new Error('a browser would not let the page read this response')
  }
  return response
}

/** The error response, as a front end finds it in `catch`. */
async function refusal (request: Promise<AxiosResponse>): Promise<AxiosResponse> {
  try {
    await request
  } catch (error) {
    return (error as AxiosError).response!
  }
  throw new Error('the request was not refused')
}

const account = { username: 'ann', password: 'correct horse' }
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.beforeEach(async t => {
  cookies.clear()
  page = FRONT_END
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  axios.defaults.baseURL = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
})

t.test('every call in the documentation of the seed’s API works as written', async t => {
  const test = await axios.get('/api/test')
  t.same(test.data, { message: 'Server is running' })
  t.equal(test.request.getHeader('content-type'), 'application/json', 'axios sends the content type with an empty body too')

  const signup = await axios.post('/api/signup', account)
  t.equal(signup.status, 201)
  t.match(signup.data, { message: 'User created successfully' })
  const taken = await refusal(axios.post('/api/signup', account))
  t.match([taken.status, taken.data.error], [400, 'Username already exists'])

  const locked = await refusal(axios.get('/api/conversations'))
  t.match([locked.status, locked.data.error], [401, /./])
  const wrong = await refusal(axios.post('/api/login', { ...account, password: 'wrong horse' }))
  t.same([wrong.status, wrong.data.error], [401, 'Invalid username or password'])

  const login = await axios.post('/api/login', account)
  t.equal(login.status, 200)
  t.same(login.data, { message: 'Login successful', user: { id: signup.data.user.id, username: 'ann' } })
  t.type(login.data.user.id, 'number')

  t.same((await axios.get('/api/conversations')).data, [])
  const created = await axios.post('/api/conversations', { name: 'Plans' })
  t.equal(created.status, 201)
  t.match(created.data, { id: Number, name: 'Plans' })
  const url = `/api/conversations/${created.data.id}`

  const renamed = await axios.put(url, { name: 'Better plans' })
  t.equal(renamed.status, 200)
  t.same(renamed.data, { id: created.data.id, name: 'Better plans' })

  const sent = await axios.post(`${url}/messages`, { text: 'Hello' })
  t.equal(sent.status, 201)
  t.match(sent.data, [
    { id: Number, sender: 'user', text: 'Hello', created_at: TIME },
    { id: Number, sender: 'bot', text: /./, created_at: TIME }
  ])
  t.equal(sent.data.length, 2)
  const empty = await refusal(axios.post(`${url}/messages`, { text: '  ' }))
  t.match([empty.status, empty.data.error], [400, /^text /])

  const list = await axios.get('/api/conversations')
  t.equal(list.status, 200)
  t.match(list.data, [{ id: created.data.id, name: 'Better plans', messages: sent.data }])

  const deleted = await axios.delete(url)
  t.equal(deleted.request.getHeader('content-type'), 'application/json')
  t.same([deleted.status, deleted.data], [204, ''])
  t.same((await axios.get('/api/conversations')).data, [])
  const gone = await refusal(axios.put(url, { name: 'Late' }))
  t.same([gone.status, gone.data.error], [404, 'Conversation not found'])

  const logout = await axios.get('/api/logout')
  t.equal(logout.status, 200)
  t.same(logout.data, { message: 'Logged out successfully' })
  t.equal(cookies.size, 0, 'the cookie is gone')
  t.equal((await refusal(axios.get('/api/conversations'))).status, 401)
})

t.test('long lists come in pages, each pointing to the next, with every item once', async t => {
  await axios.post('/api/signup', account)
  await axios.post('/api/login', account)

  const created = await Promise.all(Array.from({ length: 120 }, (_none, nth) => axios.post('/api/conversations', { name: `Number ${nth}` })))
  const ids = created.map(({ data }) => data.id as number)
  const conversations = await walk('/api/conversations?limit=50')
  t.same(conversations.map(page => page.length), [50, 50, 20])
  t.same(sorted(conversations.flat()), sorted(created.map(({ data }) => data)))

  const url = `/api/conversations/${ids[60]}/messages`
  const sent: Array<{ id: number }> = []
  for (let nth = 0; nth < 65; nth++) sent.push(...(await axios.post(url, { text: `Message ${nth}` })).data)
  t.equal(sent.length, 130)
  const backwards = await walk(`${url}?limit=50`)
  t.same(backwards.map(page => page.length), [50, 50, 30])
  t.same(backwards.reverse().flat().map(({ id }) => id), sent.map(({ id }) => id), 'the newest page comes first, each page in the order of the conversation')
  const forwards = await walk(`${url}?limit=50&after=0`)
  t.same(forwards.flat().map(({ id }) => id), sent.map(({ id }) => id), 'the changes after a rev come in order')

  t.equal((await walk('/api/conversations?limit=50')).flat()[0]!.id, ids[60], 'last used first')
})

t.test('another page in the same browser can neither read, nor write, nor log anybody in or out', async t => {
  await axios.post('/api/signup', account)
  await axios.post('/api/login', account)
  const { data: { id } } = await axios.post('/api/conversations', { name: 'Plans' })

  // The first is on the same site as the front end, so the browser sends the cookie whatever its SameSite says.
  for (const stranger of ['http://localhost:3001', 'https://elsewhere.example', 'null']) {
    page = stranger
    const before = new Map(cookies)
    for (const [what, attempt] of Object.entries({
      read: () => axios.get('/api/conversations'),
      write: () => axios.post('/api/conversations', { name: 'Not mine' }),
      rename: () => axios.put(`/api/conversations/${id}`, { name: 'Not mine' }),
      delete: () => axios.delete(`/api/conversations/${id}`),
      'log in': () => axios.post('/api/login', account),
      'log out': () => axios.post('/api/logout'),
      'log out by an image': () => axios.get('/api/logout')
    })) await t.rejects(attempt(), { message: /browser would not let the page read/ }, `${stranger}: ${what}`)
    t.same(cookies, before, 'the cookie is the same')
  }

  page = FRONT_END
  t.match((await axios.get('/api/conversations')).data, [{ id, name: 'Plans' }])
  t.equal((await axios.get('/api/conversations')).data.length, 1)
  await axios.post('/api/logout')
  t.equal(cookies.size, 0)
})

/** Reads this page and all after it, following `Link: <…>; rel="next"`. */
async function walk (url: string): Promise<Array<Array<{ id: number }>>> {
  const { data, headers } = await axios.get(url)
  const [, next] = /<([^>]+)>; rel="next"/.exec(headers['link'] ?? '') ?? []
  return next === undefined ? [data] : [data, ...await walk(next)]
}

function sorted (items: Array<{ id: number }>) {
  return items.map(({ id }) => id).sort((a, b) => a - b)
}
