import Fastify from 'fastify'
import t from 'tap'
import { redactPaths } from '../lib/index.js'

const SECRET = 'shibboleth'

t.test('a logger that is given these paths logs no credentials', async t => {
  const lines: string[] = []
  const app = Fastify({
    logger: {
      redact: [...redactPaths],
      serializers: { req: ({ method, headers }) => ({ method, headers }) },
      stream: { write: line => { lines.push(line) } }
    }
  })
  t.teardown(() => app.close())
  app.get('/', async (request, reply) => {
    request.log.info({ headers: request.headers }, 'bare')
    request.log.info({ response: { headers: { 'set-cookie': SECRET } } }, 'answer')
    return await reply.send('in')
  })
  const names = ['Cf-Access-Jwt-Assertion', 'Cookie', 'Authorization', 'Cf-Access-Client-Secret', 'Cf-Access-Token']
  const headers = Object.fromEntries(names.map(name => [name, `CF_Authorization=${SECRET}`]))
  await app.inject({ url: '/', headers: { ...headers, 'x-other': 'kept' } })
  const text = lines.join('')
  t.match(text, 'kept')
  t.equal(text.split('[Redacted]').length - 1, 2 * names.length + 1)
  t.notMatch(text, SECRET)
})
