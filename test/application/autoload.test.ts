import { resolve } from 'node:path'
import fastifyAutoload from '@fastify/autoload'
import t from 'tap'
import { expectGuarded } from '../fixtures/expect.js'
import { AUD, createApp, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const folder = (name: string): string => resolve(import.meta.dirname, '..', 'fixtures', 'autoload', name)

Object.assign(process.env, { CF_ACCESS_TEAM_DOMAIN: team.domain, CF_ACCESS_AUD: AUD })

t.test('loaded from a folder of plugins, with autoConfig, it guards the routes of the others', async t => {
  const app = createApp(t)
  app.register(fastifyAutoload, { dir: folder('plugins') })
  app.register(fastifyAutoload, { dir: folder('routes'), ignorePattern: /cf-access/ })
  t.equal((await expectGuarded(t, app, alice, '/')).body, 'user')
  t.equal((await expectGuarded(t, app, alice, '/admin')).body, 'user')
})

t.test('loaded from a folder of routes it guards that folder\'s paths', async t => {
  const app = createApp(t)
  app.register(fastifyAutoload, { dir: folder('routes') })
  t.equal((await expectGuarded(t, app, alice, '/admin')).body, 'user')
  t.equal((await app.inject('/admin/unknown')).statusCode, 401)
  t.equal((await app.inject('/')).body, 'anonymous')
})

t.test('a prefix in its autoConfig is the path it guards', async t => {
  const app = createApp(t)
  app.register(fastifyAutoload, { dir: folder('prefixed') })
  app.register(fastifyAutoload, { dir: folder('routes'), ignorePattern: /cf-access/ })
  t.equal((await expectGuarded(t, app, alice, '/admin')).body, 'user')
  t.equal((await app.inject('/')).body, 'anonymous')
})

t.test('options meant for every plugin of a folder stop the start rather than being passed over', async t => {
  const app = createApp(t)
  app.register(fastifyAutoload, { dir: folder('plugins'), options: { audiance: 'a typo' } })
  await t.rejects(async () => app.ready(), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /"audiance".*"audience"/ })
})

t.test('R-46 loaded from a folder in a scope with a prefix it guards the paths of both', async t => {
  const app = createApp(t)
  app.register(async scope => { scope.register(fastifyAutoload, { dir: folder('routes') }) }, { prefix: '/api' })
  t.equal((await expectGuarded(t, app, alice, '/api/admin')).body, 'user')
  t.equal((await app.inject('/api/')).body, 'anonymous')
})

t.test('R-46 a prefix for every plugin of a folder is the path it guards', async t => {
  const app = createApp(t)
  app.register(fastifyAutoload, { dir: folder('routes'), options: { prefix: '/api' } })
  t.equal((await expectGuarded(t, app, alice, '/api/admin')).body, 'user')
  t.equal((await app.inject('/api')).body, 'anonymous')
})

t.test('R-46 the options of a scope with a prefix, handed on to a folder, stop the start', async t => {
  for (const name of ['plugins', 'routes']) {
    const app = createApp(t)
    app.register(
      async (scope, options) => { scope.register(fastifyAutoload, { dir: folder(name), options: { ...options } }) },
      { prefix: '/api' })
    await t.rejects(async () => app.ready(),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /but this scope's prefix is already "\/api"/ }, name)
  }
})
