import { existsSync } from 'node:fs'
import t from 'tap'
import { freshDatabase } from '../support/helper.ts'
import { openPlace, urlOf } from '../support/process.ts'

const notBuilt = existsSync('dist/server.js') ? false : 'skipped: the server is not built (npm run build)'

/** The files of a package that is not in dist/, the page, and what each route says about itself. */
const PATHS = ['/openapi.json', '/docs/yaml', '/docs/static/logo.svg', '/docs/static/swagger-ui.css', '/', '/client.js', '/api/me']

t.test('the built server answers as the sources do', { skip: notBuilt }, async t => {
  const DATABASE_URL = urlOf(await freshDatabase(t))
  const place = await openPlace(t)
  const settings = { DATABASE_URL, JWT_SECRET: 'x'.repeat(32), _TAPJS_PROCESSINFO_COVERAGE_: '0' } // coverage of dist/ cannot be added to that of the sources
  const built = place.run('../dist/server.js', [], settings)
  const [, url] = await built.hasSaid(/listening at (http:[^"]+)"/)
  const sources = await place.serve(settings)
  for (const path of PATHS) {
    const [answer, expected] = await Promise.all([url, sources.url].map(async url => {
      const { status, headers, body } = await fetch(url + path)
      return { status, type: headers.get('content-type'), body: await new Response(body).text() }
    }))
    t.same(answer, expected, path)
  }
  built.kill('SIGTERM')
  sources.kill('SIGTERM')
  t.match([await built.ended, await sources.ended], [{ code: 0 }, { code: 0 }])
})
