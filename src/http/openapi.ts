import fp from 'fastify-plugin'
import type { FastifySchema } from 'fastify'
import swagger, { type SwaggerTransform } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { TObject } from 'typebox'
import { BODY_TOO_LARGE, CROSS_SITE, INVALID_JSON, INVALID_TEXT, UNSUPPORTED_MEDIA_TYPE } from '../errors.js'
import { refuse, type Responses } from './schema.js'

/** What any write may be refused for, for its body or for the site it comes from, before its route is asked. */
const WRITE_ERRORS = [INVALID_JSON, INVALID_TEXT, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, CROSS_SITE]

/** For the page at /docs: it takes everything from here, also where we are reached by http. */
const DOCS_CSP = { 'default-src': "'self'", 'img-src': ["'self'", 'data:'], 'base-uri': "'none'", 'frame-ancestors': "'none'" }

/** The API's own description, made from the routes' schemas: for programs at /openapi.json, for people at /docs. */
export const openapi = fp<{ cookieName: string }>(async function openapi (app, { cookieName }) {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Parley', version: '1', description: 'Accounts, conversations, bots and channels over one log.' },
      components: {
        securitySchemes: {
          cookie: { type: 'apiKey', in: 'cookie', name: cookieName },
          bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
        }
      }
    },
    transform: asClientsSeeIt
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_CSP })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
})

/** What a route's schema leaves out: that a default may be left out, and what every write may be refused for. */
const asClientsSeeIt: SwaggerTransform<FastifySchema> = function asClientsSeeIt ({ schema, url, route }) {
  const { body, querystring, response } = schema as { body?: TObject, querystring?: TObject, response?: Responses }
  const isWrite = ![route.method].flat().includes('GET')
  return {
    url: url.replace(/(.)\/$/, '$1'),
    schema: {
      ...schema,
      body: body && withoutDefaults(body),
      querystring: querystring && withoutDefaults(querystring),
      response: isWrite && response ? refuse(response, WRITE_ERRORS, response[400]) : response
    }
  }
}

function withoutDefaults (schema: TObject) {
  return { ...schema, required: schema.required?.filter(name => !('default' in schema.properties[name]!)) }
}
