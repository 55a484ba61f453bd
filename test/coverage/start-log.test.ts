import fastifyMiddie from '@fastify/middie'
import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, type CfAccessOptions } from '../../lib/index.js'
import { AUD, createApp, OTHER_AUD, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const page = async (): Promise<string> => 'in'

interface Line {
  readonly level: number
  readonly msg: string
  readonly guards?: string
  readonly teams?: readonly string[]
  readonly tag?: string
  readonly audience?: readonly string[]
}

/** What the plugin logs until the application is ready. */
async function linesOf (t: Test, build: (app: FastifyInstance) => unknown): Promise<Line[]> {
  const lines: Line[] = []
  const app = createApp(t,
    { logger: { level: 'info', stream: { write: (line: string) => lines.push(JSON.parse(line)) } } })
  await build(app)
  await app.ready()
  return lines
}

async function warningsOf (t: Test, build: (app: FastifyInstance) => unknown): Promise<string[]> {
  return (await linesOf(t, build)).filter(({ level }) => level === 40).map(({ msg }) => msg)
}

/** An authentication plugin as it is often written: without fastify-plugin, it guards only itself. */
const unwrapped = (own: Partial<CfAccessOptions>) =>
  async (app: FastifyInstance): Promise<void> => { await app.register(cfAccess, { ...options, ...own }) }

t.test('at info one line a registration says what it guards', async t => {
  const lines = await linesOf(t, async app => {
    await app.register(cfAccess, { ...options, prefixes: ['/admin', '/Api/'] })
    await app.register(async scope => {
      await scope.register(cfAccess, { ...options, audience: [AUD, OTHER_AUD] })
      scope.get('/', page)
    }, { prefix: '/scope' })
    await app.register(async scope => { await scope.register(cfAccess, { ...options, global: false }) })
    for (const path of ['/admin', '/api']) app.get(path, page)
  })
  t.match(lines, [
    { level: 30, guards: '/admin, /api', teams: [team.domain], audience: [AUD], msg: 'Cloudflare Access guard registered' },
    { level: 30, guards: 'everything in the scope /scope', audience: [AUD, OTHER_AUD] },
    { level: 30, msg: /^Each of the AUD tags in "audience" is accepted on every hostname/ },
    { level: 30, guards: 'routes that ask for it', audience: [AUD] }
  ])
  t.equal(lines.length, 4)
})

const UNUSED: Readonly<Record<string, [warning: RegExp, build: (app: FastifyInstance) => unknown]>> = {
  'a prefix with a typing error': [/guards \/admni, but no route is there\. Check the spelling/, async app => {
    await app.register(cfAccess, { ...options, prefix: '/admni' })
    for (const path of ['/', '/admin', '/administrator', '/admin/:id', '/x/admni', '/pages/*']) app.get(path, page)
  }],
  'such a prefix, registered last': [/guards \/admni, but no route is there\. Check the spelling/, async app => {
    for (const path of ['/', '/admin/:id']) app.get(path, page)
    await app.register(cfAccess, { ...options, prefix: '/admni' })
  }],
  'a prefix that a scope\'s own comes before': [/guards \/api\/amdin, but no route is there\. Check the spelling/,
    app => {
      app.register(async scope => {
        await scope.register(cfAccess, { ...options, prefix: '/amdin' })
        scope.get('/admin', page)
      }, { prefix: '/api' })
    }],
  'an authentication plugin without fastify-plugin': [
    /guards everything in the scope \/, but no route is there\. A plugin .* must be wrapped in fastify-plugin/,
    async app => {
      await app.register(unwrapped({}))
      app.get('/admin', page)
    }],
  'a prefix that is only the common start of other paths': [/guards \/admin-x, but no route is there/, async app => {
    for (const path of ['/admin-x1', '/admin-x2']) app.get(path, page)
    await app.register(cfAccess, { ...options, prefix: '/admin-x' })
  }],
  'one with a prefix': [/guards \/admin, but no route is there\. A plugin .* must be wrapped in fastify-plugin/,
    async app => {
      app.get('/', page)
      await app.register(unwrapped({ prefix: '/admin' }))
      app.get('/admin', page)
    }]
}

for (const [name, [warning, build]] of Object.entries(UNUSED)) {
  t.test(`R-47 R-36 ${name} is warned of`, async t => {
    const warnings = await warningsOf(t, build)
    t.equal(warnings.length, 1)
    t.match(warnings[0], warning)
  })
}

const USED: Readonly<Record<string, (app: FastifyInstance) => unknown>> = {
  'a route of the prefix': app => { app.register(cfAccess, { ...options, prefix: '/admin' }); app.get('/admin', page) },
  'a route below it': app => { app.register(cfAccess, { ...options, prefix: '/admin' }); app.get('/Admin/x/y', page) },
  'a route of one of two prefixes': app => { app.register(cfAccess, { ...options, prefixes: ['/admin', '/later'] }); app.get('/admin', page) },
  'a route declared before': async app => { app.get('/admin/x', page); await app.register(cfAccess, { ...options, prefix: '/admin' }) },
  'a route for one method declared before': async app => { app.post('/admin', page); await app.register(cfAccess, { ...options, prefix: '/admin' }) },
  'routes far below it declared before': async app => {
    for (const path of ['/public', '/admin/users/list', '/admin/users/lost']) app.get(path, page)
    await app.register(cfAccess, { ...options, prefix: '/admin' })
  },
  'a route declared later in an earlier scope': async app => {
    let earlier: FastifyInstance | undefined
    await app.register(async scope => { earlier = scope })
    await app.register(cfAccess, { ...options, prefix: '/admin' })
    earlier!.get('/admin', page)
  },
  'a route of a scope declared before': async app => {
    await app.register(async scope => { scope.get('/x', page) }, { prefix: '/admin' })
    await app.register(cfAccess, { ...options, prefix: '/admin' })
  },
  'a route of a scope declared later': app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.register(async scope => { scope.get('/x', page) }, { prefix: '/admin' })
  },
  'a single-page application or a proxy': app => { app.register(cfAccess, { ...options, prefix: '/admin' }); app.all('/*', page) },
  'a wildcard above a deeper prefix': app => { app.register(cfAccess, { ...options, prefix: '/admin/x' }); app.all('/*', page) },
  'one declared before': async app => { app.all('*', page); await app.register(cfAccess, { ...options, prefix: '/admin' }) },
  'a parametric route': app => { app.register(cfAccess, { ...options, prefix: '/admin' }); app.get('/:section', page) },
  'a parametric route declared before': async app => { app.get('/:section(^[a-z/]+$)/x', page); await app.register(cfAccess, { ...options, prefix: '/admin/x' }) },
  'a prefix in a parametric scope': app => {
    app.register(
      async scope => { scope.register(cfAccess, { ...options, prefix: '/admin' }); scope.get('/admin/x', page) },
      { prefix: '/:tenant' })
  },
  'one tenant\'s route below that prefix': app => {
    app.get('/acme/admin', page)
    app.register(async scope => { scope.register(cfAccess, { ...options, prefix: '/admin' }) }, { prefix: '/:tenant' })
  },
  'global: false': app => { app.register(cfAccess, { ...options, global: false }); app.get('/', page) },
  'global: false in an authentication plugin': async app => { await app.register(unwrapped({ global: false })); app.get('/', page) },
  'the whole server, routes first': async app => { app.get('/', page); await app.register(cfAccess, options) },
  'the whole server, routes last': app => { app.register(cfAccess, options); app.get('/', page) },
  'a whole scope': async app => { await app.register(async scope => { scope.register(cfAccess, options); scope.get('/', page) }, { prefix: '/admin' }) },
  'a scope without a prefix of its own': async app => { await app.register(async scope => { await scope.register(cfAccess, options); scope.get('/', page) }) },
  'such a scope with its routes first': async app => { await app.register(async scope => { scope.get('/', page); await scope.register(cfAccess, options) }) },
  'a plugin in fastify-plugin': async app => { await app.register(fp(unwrapped({ prefix: '/admin' }))); app.get('/admin', page) }
}

for (const [name, build] of Object.entries(USED)) {
  t.test(`R-47 ${name} is no reason to warn`, async t => {
    t.strictSame(await warningsOf(t, build), [])
  })
}

t.test('R-50 R-34 middleware that is registered before is warned of', async t => {
  const [warning, ...others] = await warningsOf(t, async app => {
    await app.register(fastifyMiddie)
    await app.register(cfAccess, options)
    app.get('/', page)
  })
  t.match(warning,
    /Middleware .* before fastify-cf-access runs before it.*Register fastify-cf-access first \(with NestJS: on the adapter/)
  t.strictSame(others, [])
  t.strictSame(await warningsOf(t, async app => {
    await app.register(cfAccess, options)
    await app.register(fastifyMiddie)
    app.get('/', page)
  }), [])
})

t.test('an AUD tag that cannot be one is warned of, for a real team', async t => {
  const uuid = 'c0a80101-7b3c-4f8e-9a52-0d6f1e2b3c4d'
  const register = (own: Partial<CfAccessOptions>) => (app: FastifyInstance): void => {
    app.register(cfAccess, { ...options, teamDomain: 'acme', fetch: async () => new Response('{}'), ...own })
    app.get('/', page)
  }
  const WARNING =
    /^This does not look like an AUD tag, which has 64 hex digits in lower case\. It is in the Zero Trust dashboard/
  for (const audience of [uuid, [AUD, uuid], { 'a.example.com': AUD, 'b.example.com': [uuid] }]) {
    const lines = await linesOf(t, register({ audience }))
    t.match(lines.filter(({ level, tag }) => level === 40 && tag !== undefined), [{ tag: uuid, msg: WARNING }])
  }
  for (const audience of [AUD.toUpperCase(), `${AUD}0`, `0${AUD}`, AUD.slice(1)]) {
    t.match(await warningsOf(t, register({ audience })), [WARNING], audience)
  }
  t.match(await warningsOf(t, register({ teamDomain: [team.domain, 'acme'], audience: uuid })), [WARNING], 'two teams')
  t.strictSame((await warningsOf(t, register({ audience: [AUD, OTHER_AUD] }))).filter(text => WARNING.test(text)), [])
  t.strictSame(await warningsOf(t, register({ teamDomain: team.domain, audience: uuid })), [], 'an emulator\'s tag')
})
