import { posix } from 'node:path'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, guard, type CfAccessOptions } from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, sendRaw, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const A: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const B: CfAccessOptions = { teamDomain: team.domain, audience: OTHER_AUD }
const NONE = undefined
const tokenOfA = team.userToken({ email: 'a@acme.com', audience: AUD })
const tokenOfB = team.userToken({ email: 'b@acme.com', audience: OTHER_AUD })
const tokenOfBoth = team.userToken({ email: 'c@acme.com', audience: [AUD, OTHER_AUD] })

const page = async (): Promise<string> => 'in'
const open = { config: { cfAccess: false } }

/** A listening application with what `build` registers and declares; asks it for a target, byte for byte. */
async function start (
  t: Test, build: (app: FastifyInstance) => unknown, server: FastifyServerOptions = {}
): Promise<(target: string, token?: string) => Promise<number>> {
  const app = createApp(t, server)
  await build(app)
  const port = await listen(app)
  return async (target, token) =>
    (await sendRaw(port, target, { headers: token === undefined ? {} : bearing(token) })).status
}

t.test('R-40 R-41 R-42 R-53 a target that a handler resolves differently than the router is guarded', async t => {
  const readers: Readonly<Record<string, (request: FastifyRequest) => string>> = {
    'new URL(request.url)': request => new URL(request.url, 'http://x').pathname,
    'new Request': request => new URL(new Request(`http://x${request.url}`).url).pathname,
    'decodeURI and normalize': request => posix.normalize(decodeURI(request.url)),
    'the wildcard of a joined URL': request => new URL(`http://x/${(request.params as { '*': string })['*']}`).pathname,
    'decodeURIComponent of the WHATWG path': request => posix.normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname))
  }
  const targets = ['/a%2Fb/%2e%2e/admin/users', '/a%2fb/../admin', '/x%2f..%2fadmin/users', '/ad%09min/z',
    '/x/.%09./admin/z', '/x/%0a../admin', '/ad%0d%0amin',
    '/%2fhost/admin', '/%2Fhost%2fadmin', '//x/admin/z', '//h%2fx/%2fadmin', '/%5chost/admin', 'http://x/admin/z',
    'HTTPS://x/admin', '///x/admin', '/%09/x/admin',
    '/;p%2fq/%2fadmin', '/x/..%3b/../admin', '/%2Fx;%5cx;%252Fadmin', 'http://any?%25252F\\host/admin%5cx']
  for (const [name, read] of Object.entries(readers)) {
    const build = (isGuarded: boolean) => (app: FastifyInstance): void => {
      if (isGuarded) app.register(cfAccess, { ...A, prefix: '/admin' })
      app.get('/*', async (request, reply) => reply.code(/^\/admin(?:\/|$)/.test(read(request)) ? 200 : 204).send())
    }
    const [unguarded, guarded] = [await start(t, build(false)), await start(t, build(true))]
    let secrets = 0
    for (const target of targets) {
      if (await unguarded(target) !== 200) continue
      secrets++
      t.equal(await guarded(target), 401, `${name}: ${target}`)
      t.equal(await guarded(target, tokenOfA), 200, `${name}: ${target} as a user`)
    }
    t.ok(secrets >= 2, `${name} takes ${secrets} of them for guarded paths`)
  }
})

t.test('R-40 an ambiguous target must be admitted by every registration it can belong to', async t => {
  const statusOf = await start(t, app => {
    app.register(cfAccess, { ...A, prefix: '/a' })
    app.register(cfAccess, { ...B, prefix: '/b' })
    for (const pattern of ['/*', '/a/*', '/b/:page/*']) app.get(pattern, page)
  })
  for (const target of ['/x%2fy/%2e%2e/a/1', '/b/..%2f..%2fa', '/a/x/../1', '/b/1/%2e%2e/x']) {
    for (const token of [NONE, tokenOfA, tokenOfB]) t.equal(await statusOf(target, token), 401, target)
    t.equal(await statusOf(target, tokenOfBoth), 200, target)
  }
})

t.test('an ambiguous target in a scope that is guarded as a whole is that registration\'s alone', async t => {
  const statusOf = await start(t, app => {
    app.register(cfAccess, { ...A, prefix: '/a' })
    app.register(async scope => {
      scope.register(cfAccess, B)
      scope.get('/*', page)
    }, { prefix: '/b' })
  })
  t.strictSame([await statusOf('/b/x/../y', tokenOfA), await statusOf('/b/x/../y', tokenOfB)], [401, 200])
})

t.test('a segment that lenient readers see as a prefix\'s, and others do not, belongs to the path above as well', async t => {
  const statusOf = await start(t, app => {
    app.register(cfAccess, { ...A, prefix: '/admin' })
    app.register(cfAccess, { ...B, prefix: '/admin/b' })
    app.get('/*', page)
  })
  for (const target of ['/admin/b;v=1/x', '/admin/b./x', '/admin/b%20/x', '/admin/%EF%BD%82/x', '/admin/b%5cx',
    '/admin/b%00/x', '/admin/b%3fx']) {
    for (const token of [NONE, tokenOfA, tokenOfB]) t.equal(await statusOf(target, token), 401, target)
    t.equal(await statusOf(target, tokenOfBoth), 200, target)
  }
  for (const target of ['/admin/b/x;v=1', '/admin/b/a%2fb', '/admin/b/%C3%A9', '/admin/b']) {
    t.strictSame([await statusOf(target, tokenOfA), await statusOf(target, tokenOfB)], [401, 200], target)
  }
})

t.test('R-43 a route that asks for more keeps the registrations that guard it anyway', async t => {
  for (const config of [{ cfAccess: true }, { cfAccess: { include: { email: true as const } } }]) {
    for (const pattern of ['/x', '/:page', '/*']) {
      const statusOf = await start(t, app => {
        app.register(cfAccess, { ...A, prefix: '/admin' })
        app.register(async scope => {
          scope.register(cfAccess, { ...B, global: false })
          scope.get(pattern, { config }, page)
        }, { prefix: '/admin' })
      })
      for (const token of [NONE, tokenOfA, tokenOfB]) t.equal(await statusOf('/admin/x', token), 401, pattern)
      t.equal(await statusOf('/admin/x', tokenOfBoth), 200, pattern)
    }
  }
})

t.test('R-43 a guard() uses the nearest registration, and the registrations that guard the route stay', async t => {
  const statusOf = await start(t, app => {
    app.register(cfAccess, { ...A, prefix: '/admin' })
    app.register(async scope => {
      scope.register(cfAccess, { ...B, global: false })
      scope.get('/x', { onRequest: guard() }, page)
    }, { prefix: '/admin' })
  })
  for (const token of [NONE, tokenOfA, tokenOfB]) t.equal(await statusOf('/admin/x', token), 401)
  t.equal(await statusOf('/admin/x', tokenOfBoth), 200)
})

t.test('R-44 R-26 an opt-out opens the paths of its own pattern, and no other', async t => {
  const scope = await start(t, app => {
    app.register(cfAccess, A)
    for (const pattern of ['/public/*', '/api/:v/public/*', '/files/:name.png', '/docs/:page?', '/health', '/pre*']) {
      app.get(pattern, open, page)
    }
    app.get('/*', page)
  })
  for (const target of ['/public/x', '/public/', '/public/x/y', '/public/a%20b', '/public/x;v=1', '/api/v1/public/x',
    '/api/%C3%A9/public/x',
    '/files/a.png', '/docs', '/docs/x', '/health', '/health?x=/../y', '/prefix', '/pre']) {
    t.equal(await scope(target), 200, target)
  }
  for (const target of ['/public', '/public/..%2fsecret', '/public/../secret', '/public/%2e%2e/secret',
    '/public/x%2f..%2f..%2fsecret', '/public/..;/secret', '/public/.%00./x',
    '/api/v1/public/..%2fsecret', '/api/v1%2fsecret/public/x', '/api/..%2fsecret/public/x', '/files/..%2fx.png',
    '/secret', '/pre%2f..%2fsecret', '/docs/..%2fsecret']) {
    t.equal(await scope(target), 401, target)
    t.equal(await scope(target, tokenOfA), 200, `${target} as a user`)
  }
  const prefix = await start(t, app => {
    app.register(cfAccess, { ...A, prefix: '/api' })
    app.get('/api/:v/public/*', open, page)
  })
  t.equal(await prefix('/api/v1/public/x'), 200)
  t.equal(await prefix('/api/v1/public/..%2fsecret'), 401)
})

t.test('an opt-out from one registration does not apply to another', async t => {
  const statusOf = await start(t, app => {
    app.register(cfAccess, { ...A, prefix: '/admin' })
    app.register(cfAccess, { ...B, prefix: '/admin/public/inner' })
    app.get('/admin/public/*', open, page)
  })
  t.equal(await statusOf('/admin/public/x'), 200)
  t.strictSame([await statusOf('/admin/public/inner/x'), await statusOf('/admin/public/inner/x', tokenOfB)], [401, 200])
})

t.test('R-45 a prefix in a scope whose own has a parameter or a colon', async t => {
  const statusOf = await start(t, app => {
    for (const prefix of ['/:tenant', '/v1::beta', '/t-:id/x']) {
      app.register(async scope => {
        scope.register(cfAccess, { ...A, prefix: '/admin' })
        for (const pattern of ['/admin', '/admin/y', '/:page', '/*']) scope.get(pattern, page)
      }, { prefix })
    }
  })
  for (const target of ['/acme/admin', '/ac%2Fme/%61dmin/y', '/ac%2Fme/admin', '/acme/ADMIN/z', '/acme/admin%2fz',
    '/v1:beta/admin', '/v1:beta/admin/y', '/v1:beta/%61dmin/z', '/v1%3abeta/admin/z',
    '/t-1/x/admin/z', '/t-%2f/x/%61dmin', '/acme/x/..%2fadmin']) {
    t.equal(await statusOf(target), 401, target)
    t.equal(await statusOf(target, tokenOfA), 200, `${target} as a user`)
  }
  for (const target of ['/acme/x', '/v1:beta/x', '/t-1/x/y', '/acme/administrator']) {
    t.equal(await statusOf(target), 200, target)
  }
})

t.test('R-49 a 404 handler that calls itself a route is guarded', async t => {
  for (const config of [{ url: '/public' }, { url: '/public', method: 'GET' }, { url: '/open', method: ['GET'] },
    { url: '/public', cfAccess: false, method: 'GET' }]) {
    const statusOf = await start(t, app => {
      app.register(cfAccess, { ...A, prefix: '/admin' })
      app.get('/open', page)
      app.setNotFoundHandler({ config } as { preHandler?: never },
        (_request, reply) => { reply.send('what only admins see') })
    })
    for (const target of ['/admin', '/admin/unknown', '/x/..%2fadmin']) {
      t.equal(await statusOf(target), 401, `${target} of ${JSON.stringify(config)}`)
      t.equal(await statusOf(target, tokenOfA), 200)
    }
    t.equal(await statusOf('/unknown'), 200)
  }
})

t.test('P-26 a policy counts as it was when its route was declared', async t => {
  for (const isRegisteredFirst of [true, false]) {
    const policy = { include: { email: 'root@acme.com' } }
    const statusOf = await start(t, async app => {
      if (isRegisteredFirst) await app.register(cfAccess, A)
      app.register(async scope => {
        if (!isRegisteredFirst) scope.register(cfAccess, A)
        scope.after(() => {
          scope.get('/x', { config: { cfAccess: policy } }, page)
          policy.include.email = 'a@acme.com'
          scope.get('/y', { config: { cfAccess: policy } }, page)
          policy.include.email = 'c@acme.com'
        })
      })
    })
    t.equal(await statusOf('/x', tokenOfA), 403)
    t.equal(await statusOf('/y', tokenOfA), 200)
  }
})

t.test('a policy that a later hook puts in another\'s place counts', async t => {
  const statusOf = await start(t, async app => {
    await app.register(cfAccess, A)
    app.addHook('onRoute',
      route => { route.config = { ...route.config, cfAccess: { include: { serviceToken: true } } } })
    app.get('/x', { config: { cfAccess: { include: { email: true } } } }, page)
  })
  t.equal(await statusOf('/x', tokenOfA), 403)
})

t.test('P-26 such a policy counts as it was when the next registration saw the route', async t => {
  const policy = { include: { email: 'root@acme.com' } }
  const statusOf = await start(t, async app => {
    await app.register(cfAccess, A)
    app.addHook('onRoute', route => { route.config = { ...route.config, cfAccess: policy } })
    await app.register(async scope => {
      await scope.register(cfAccess, A)
      scope.get('/x', { config: { cfAccess: true } }, page)
      policy.include.email = 'a@acme.com'
    })
  })
  t.equal(await statusOf('/x', tokenOfA), 403)
})

t.test('P-27 two registrations admit one identity, not one each', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...A, prefix: '/admin' })
  app.register(async scope => {
    scope.register(cfAccess, { ...B, global: false })
    scope.get('/config', { config: { cfAccess: true } }, async request => request.cfAccess)
    scope.get('/guard', { preHandler: guard() }, async request => request.cfAccess)
  }, { prefix: '/admin' })
  const cookies = (...tokens: string[]): { cookie: string } =>
    ({ cookie: tokens.map(token => `CF_Authorization=${token}`).join('; ') })
  const sameUserOfB = team.userToken({ email: 'a@acme.com', audience: OTHER_AUD })
  for (const url of ['/admin/config', '/admin/guard']) {
    for (const tokens of [[tokenOfA, tokenOfB], [tokenOfB, tokenOfA]]) {
      const response = await app.inject({ url, headers: cookies(...tokens) })
      t.equal(response.statusCode, 401, url)
      t.equal(response.json().code, 'FST_CF_ACCESS_TOKEN_INVALID', url)
    }
    for (const tokens of [[tokenOfA, sameUserOfB], [tokenOfA, tokenOfB, sameUserOfB], [tokenOfBoth]]) {
      t.equal((await app.inject({ url, headers: cookies(...tokens) })).statusCode, 200, url)
    }
  }
})

t.test('guard() on an ambiguous target requires every registration that could own it', async t => {
  const statusOf = await start(t, app => {
    app.register(cfAccess, { ...A, global: false })
    app.register(async scope => {
      scope.register(cfAccess, { ...B, prefix: '/b' })
      scope.get('/*', { onRequest: guard() }, page)
    })
  })
  for (const token of [NONE, tokenOfA, tokenOfB]) t.equal(await statusOf('/x/..%2fb/1', token), 401)
  t.equal(await statusOf('/x/..%2fb/1', tokenOfBoth), 200)
  t.strictSame([await statusOf('/c', tokenOfA), await statusOf('/c', tokenOfB)], [200, 401])
})

t.test('what follows a mark does not take a literal route away from the registration of its pattern', async t => {
  for (const useSemicolonDelimiter of [false, true]) {
    const ask = await start(t, app => {
      app.register(cfAccess, { ...A, prefix: '/admin' })
      app.register(cfAccess, { ...B, prefix: '/admin/x' })
      app.get('/admin', page)
      app.get('/admin/own', { config: { cfAccess: true } }, page)
      app.get('/admin/guarded', { onRequest: guard() }, page)
      app.get('/admin/x', page)
    }, { routerOptions: { useSemicolonDelimiter } as object })
    for (const mark of useSemicolonDelimiter ? ['#', ';'] : ['#']) {
      for (const path of ['/admin', '/admin/own', '/admin/guarded']) {
        for (const rest of ['/x', '/x/y', '/../x', '/../admin/x', 'x']) {
          const target = `${path}${mark}${rest}`
          t.equal(await ask(target, tokenOfB), 401, `B's user at ${target}`)
          t.equal(await ask(target), 401, `a stranger at ${target}`)
        }
        t.equal(await ask(`${path}${mark}/x`, tokenOfBoth), 200, `a user of both at ${path}${mark}/x`)
      }
      for (const [token, status] of [[tokenOfA, 401], [tokenOfB, 401], [tokenOfBoth, 200]] as const) {
        t.equal(await ask(`/admin/x${mark}/../y`, token), status, `a route of B with an ambiguous rest after ${mark}`)
      }
    }
  }
})

t.test('a wildcard route beside registrations of a whole scope and of a prefix', async t => {
  const cases: Readonly<Record<string, (app: FastifyInstance) => unknown>> = {
    'the whole scope first': app => {
      app.register(cfAccess, B)
      app.register(cfAccess, { ...A, prefix: '/admin' })
      app.get('/*', page)
    },
    'the prefix first': app => {
      app.register(cfAccess, { ...A, prefix: '/admin' })
      app.register(cfAccess, B)
      app.get('/*', page)
    },
    'a route that asks for another one': app => {
      app.register(cfAccess, { ...A, prefix: '/admin' })
      app.register(async inner => {
        await inner.register(cfAccess, { ...B, global: false })
        inner.get('/*', { config: { cfAccess: true } }, page)
      })
    }
  }
  for (const [name, build] of Object.entries(cases)) {
    const ask = await start(t, build)
    t.equal(await ask('/x', tokenOfB), 200, `${name}: B's user outside the prefix`)
    for (const target of ['/admin', '/admin/x', '/%61dmin/x']) {
      t.equal(await ask(target, tokenOfB), 401, `${name}: B's user at ${target}`)
      t.equal(await ask(target, tokenOfBoth), 200, `${name}: a user of both at ${target}`)
    }
  }
})

t.test('colons in the prefix of a scope', async t => {
  const ask = await start(t, app => {
    app.register(async scope => {
      await scope.register(cfAccess, { ...A, prefix: '/admin' })
      scope.get('/admin', page)
      scope.get('/', page)
    }, { prefix: '/a::b/c::d' })
  })
  t.equal(await ask('/a:b/c:d/admin'), 401)
  t.equal(await ask('/a:b/c:d/admin', tokenOfA), 200)
  t.equal(await ask('/a:b/c:d/'), 200)
})
