// Applications whose handlers give away, as JSON, what they have in their hands: readers can take it for the
// guarded path.
import { once } from 'node:events'
import { createServer } from 'node:http'
import fastifyHttpProxy from '@fastify/http-proxy'
import fastifyStatic from '@fastify/static'
import fastifyWebsocket from '@fastify/websocket'
import Fastify from 'fastify'
import { under } from './readers.js'

/** @typedef {import('fastify').FastifyInstance} App */
/** @typedef {import('fastify').FastifyRequest} Request */
/** @typedef {import('./readers.js').Landing} Landing */
/** @typedef {import('./wire.js').Protocol} Protocol */
/** @typedef {{ upstream: string, root: string }} World a server on loopback and a folder with `admin/x` */
/** @typedef {{ config?: { cfAccess: false }, websocket: boolean }} RouteOptions */

/**
 * @callback Kind fits routes below a path
 * @param {App} scope
 * @param {string} path
 * @param {RouteOptions} options
 * @param {World} world
 * @returns {void | Promise<void>}
 */

/** What a file of the folder says below `admin`. */
export const SECRET = 'what only admins may read'

const LOOSE = {
  caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, useSemicolonDelimiter: true
}

/** @type {Readonly<Record<string, object>>} */
export const ROUTERS = {
  strict: { routerOptions: { maxParamLength: 5000 } },
  loose: { routerOptions: { maxParamLength: 5000, ...LOOSE } },
  'loose at the top level': { maxParamLength: 5000, ...LOOSE },
  'semicolons only': { routerOptions: { maxParamLength: 5000, useSemicolonDelimiter: true } },
  'any case': { routerOptions: { maxParamLength: 5000, caseSensitive: false, ignoreDuplicateSlashes: true } }
}

/** @typedef {import('./readers.js').Start} Text */

/** What the handler has in its hands. @param {Request} request @returns {Text[]} */
function handed (request) {
  const params = /** @type {Record<string, string>} */ (request.params ?? {})
  const names = Object.keys(params).filter(name => name.startsWith('p') || name === '*')
  return [['url', request.url], ['parameters', `/${names.map(name => params[name]).join('/')}`]]
}

/** @param {Request} request */
const giveAll = async request => JSON.stringify({ raw: handed(request) })

/**
 * What consumers make of it that Node applications have.
 *
 * @param {World} world
 * @returns {(request: Request) => Promise<string>}
 */
const consume = ({ upstream }) => async request => {
  const [, wildcard = ''] = handed(request)[1] ?? []
  /** @type {Record<string, () => string | Promise<string>>} */
  const consumers = {
    'new URL(request.url, base)': () => new URL(request.url, upstream).pathname,
    'new URL(wildcard, base)': () => new URL(wildcard, upstream).pathname,
    'new Request(base + request.url)': () => new URL(new Request(upstream + request.url).url).pathname,
    'new Request(new URL(request.url, base))': () => new URL(new Request(new URL(request.url, upstream)).url).pathname,
    'fetch(upstream + request.url)': async () => await fetchPath(upstream, request.url),
    // eslint-disable-next-line no-template-curly-in-string
    'fetch(`${upstream}/${wildcard}`)': async () => await fetchPath(upstream, wildcard)
  }
  /** @type {Text[]} */
  const read = []
  for (const [name, consumer] of Object.entries(consumers)) {
    try {
      read.push([name, await consumer()])
    } catch {
      // A consumer that throws hands nothing out.
    }
  }
  return JSON.stringify({ read })
}

/** What the upstream was asked for. @param {string} upstream @param {string} rest */
async function fetchPath (upstream, rest) {
  const url = new URL(upstream + rest)
  // Never any other host than the upstream.
  if (url.origin !== upstream) return ''
  const response = await fetch(url)
  const { read: [[, path]] } = /** @type {{ read: [Text] }} */ (await response.json())
  return path
}

/** @type {Readonly<Record<string, Kind>>} */
export const KINDS = {
  'catch-all': (scope, path, options) => fit(scope, `${path}/*`, options, giveAll),
  parametric: (scope, path, options) => {
    for (const end of ['/:pa', '/:pa/:pb', '/:pa/:pb/:pc', '/:pa/:pb/:pc/*']) fit(scope, path + end, options, giveAll)
  },
  'part of a segment': (scope, path, options) => {
    for (const end of ['/:pa/x', '/:pa(^[^/]+$)/:pb', '/:pa/:pb/x']) fit(scope, path + end, options, giveAll)
  },
  'not found': scope => {
    scope.setNotFoundHandler(async (request, reply) => await reply.code(200).send(await giveAll(request)))
  },
  // what looks like a route's own config.
  'not found with a config': scope => {
    const options = /** @type {object} */ ({ config: { url: '/public', method: 'GET' } })
    scope.setNotFoundHandler(options, async (request, reply) => await reply.code(200).send(await giveAll(request)))
  },
  consumers: (scope, path, options, world) => fit(scope, `${path}/*`, options, consume(world)),
  static: async (scope, path, _options, { root }) => {
    await scope.register(fastifyStatic, { root, prefix: `${path}/` })
  },
  proxy: async (scope, path, _options, { upstream }) => {
    await scope.register(fastifyHttpProxy, { upstream, prefix: path })
  }
}

/**
 * @param {App} scope
 * @param {string} path
 * @param {RouteOptions} options
 * @param {(request: Request) => Promise<string>} give
 */
function fit (scope, path, { config, websocket }, give) {
  const shared = config === undefined ? {} : { config }
  if (websocket) scope.get(path, { ...shared, websocket }, async (socket, request) => socket.send(await give(request)))
  else scope.get(path, shared, async request => await give(request))
}

/**
 * @callback Register registers the guard, with a prefix or for a whole scope
 * @param {App} scope
 * @param {string} [prefix]
 * @returns {Promise<void>}
 */

/**
 * @callback Build
 * @param {App} app
 * @param {{ a: Register, b: Register }} guards
 * @param {(scope: App, path: string, config?: { cfAccess: false }) => Promise<void>} fitRoutes
 * @returns {Promise<void>}
 */

/**
 * @typedef {object} Mount where the guard and the routes are
 * @property {readonly string[]} before what is sent before the target
 * @property {Landing} isLanding whether the reading of a whole path has to be guarded
 * @property {Landing} isWildcardLanding whether the reading of parameters has to be guarded
 * @property {Build} build
 */

const isAdmin = under('/admin')
/** @type {Landing} */
const isNothing = () => false

/** The guards and the routes in a scope with this prefix. @param {string} prefix @returns {Build} */
function inScope (prefix) {
  return async (app, { a, b }, fitRoutes) => {
    await app.register(async scope => {
      await a(scope, '/admin')
      await b(scope, '/b')
      await fitRoutes(scope, '')
    }, { prefix })
  }
}

/** @type {Readonly<Record<string, Mount>>} */
export const MOUNTS = {
  'at the root': {
    before: [''],
    isLanding: isAdmin,
    isWildcardLanding: isAdmin,
    build: async (app, { a, b }, fitRoutes) => {
      await a(app, '/admin')
      await b(app, '/b')
      await fitRoutes(app, '')
    }
  },
  'in a scope with a parameter': {
    before: ['/acme', '/ac%2Fme', '/%61cme', '/a%20c', '/acme;x', '/a%5cb', '/a%3fb', '/a%252fb', '/b'],
    isLanding: text => /^\/[^/]+\/admin(?:\/|$)/.test(text),
    isWildcardLanding: isAdmin,
    build: inScope('/:tenant')
  },
  'in a scope with a colon': {
    before: ['/v1:beta', '/%761:beta'],
    isLanding: under('/v1:beta/admin'),
    isWildcardLanding: isAdmin,
    build: inScope('/v1::beta')
  },
  'an opt-out beside the prefix': {
    before: ['/public', '/public/x'],
    isLanding: isAdmin,
    isWildcardLanding: isNothing,
    build: async (app, { a, b }, fitRoutes) => {
      await a(app, '/admin')
      await b(app, '/b')
      await fitRoutes(app, '/public', { cfAccess: false })
    }
  },
  'an opt-out in a guarded scope': {
    before: ['/s/public/..', '/s/public', '/s/public/x/..'],
    isLanding: under('/s/admin'),
    isWildcardLanding: isNothing,
    build: async (app, { a, b }, fitRoutes) => {
      await b(app, '/b')
      await app.register(async scope => {
        await a(scope)
        await fitRoutes(scope, '/public', { cfAccess: false })
      }, { prefix: '/s' })
    }
  },
  'an opt-out behind a parameter': {
    before: ['/api/v1/public/..', '/api/v1/public', '/api/v1/public/../..'],
    isLanding: text => /^\/api\/[^/]+\/admin(?:\/|$)/.test(text),
    isWildcardLanding: isNothing,
    build: async (app, { a, b }, fitRoutes) => {
      await a(app, '/api')
      await b(app, '/b')
      await fitRoutes(app, '/api/:v/public', { cfAccess: false })
    }
  }
}

/** @typedef {{ router: string, kind: string, mount: string, protocol: Protocol }} Site */

/** Every combination that makes sense, without the router. @type {readonly Omit<Site, 'router'>[]} */
export const SITES = Object.keys(MOUNTS).flatMap(mount => Object.keys(KINDS).flatMap(kind => {
  const isOptOut = mount.startsWith('an opt-out')
  if (isOptOut && !['catch-all', 'parametric', 'consumers'].includes(kind)) return []
  if (mount !== 'at the root' && ['static', 'proxy'].includes(kind)) return []
  /** @type {Protocol[]} */
  const protocols = kind === 'catch-all' || kind === 'parametric' ? ['HTTP/1', 'HTTP/2', 'WebSocket'] : ['HTTP/1']
  return protocols.map(protocol => ({ mount, kind, protocol }))
}))

/**
 * @param {Site} site
 * @param {{ a: Register, b: Register }} guards
 * @param {World} world
 * @returns {Promise<{ port: number, close: () => Promise<void> }>}
 */
export async function startSite ({ router, kind, mount, protocol }, guards, world) {
  const app = /** @type {App} */ (Fastify(/** @type {object} */ ({ ...ROUTERS[router], http2: protocol === 'HTTP/2' })))
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set()
  app.server.on('connection', socket => sockets.add(socket.on('close', () => sockets.delete(socket))))
  if (protocol === 'WebSocket') await app.register(fastifyWebsocket)
  await MOUNTS[mount]?.build(app, guards, async (scope, path, config) => {
    const websocket = protocol === 'WebSocket'
    await KINDS[kind]?.(scope, path, config === undefined ? { websocket } : { websocket, config }, world)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await app.close()
    }
  }
}

/** A server that says what it was asked for. @returns {Promise<{ url: string, close: () => void }>} */
export async function startUpstream () {
  const server = createServer((request, response) => {
    response.end(JSON.stringify({ read: [['upstream', request.url]] }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    }
  }
}
