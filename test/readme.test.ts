import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import ts from 'typescript'
import * as exported from '../lib/index.js'
import { compile } from './fixtures/compile.js'
import { startEdge } from './fixtures/edge.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'
import { root } from './fixtures/root.js'

const readme = await readFile(join(root, 'README.md'), 'utf8')
const docs = (await readdir(join(root, 'docs'))).filter(name => name.endsWith('.md'))
const pages = [readme, ...await Promise.all(docs.map(async name => await readFile(join(root, 'docs', name), 'utf8')))]
const SNIPPET = /```[jt]s title=([\w-]+)\n(.*?)```/gs
const snippets = new Map([...pages.join('').matchAll(SNIPPET)].map(([, title, code]) => [title!, code!]))
const team = await startTeam(t)
const { cfAccess } = exported

function snippet (title: string): string {
  const code = snippets.get(title)
  if (code === undefined) throw new Error(`no page has a snippet with the title ${title}`)
  return code
}

/** Runs a snippet that declares something on `app`. */
function installOn (app: FastifyInstance, code: string): void {
  const body = code.replace(/^import (.*) from 'fastify-cf-access'$/m, 'const $1 = exported')
  const install = new Function('app', 'exported', body) // eslint-disable-line no-new-func
  install(app, exported)
}

/** Runs a snippet as pasted, with the team and the port replaced by those of the test. */
function run (t: Test, code: string): ChildProcess {
  const own = code.replace("'acme'", `'${team.domain}'`)
    .replace('await app.listen({ port: 3000 })', "console.log(await app.listen({ port: 0, host: '127.0.0.1' }))")
  const child = spawn(process.execPath, [join(t.testdir({ 'snippet.mjs': own }), 'snippet.mjs')], {
    env: { ...process.env, CF_ACCESS_TEAM_DOMAIN: team.domain, CF_ACCESS_AUD: AUD }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill())
  return child
}

/** The first line that is no line of the log. */
async function lineOf (child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    if (!line.startsWith('{')) return line
  }
  throw new Error('the snippet ended before it said anything')
}

const USES = [
  { title: 'prefix', open: '/', guarded: '/admin', method: 'GET' },
  { title: 'scope', open: '/admin/health', guarded: '/admin/keys', method: 'GET' },
  { title: 'route', open: '/', guarded: '/users/1', method: 'DELETE' }
]

for (const { title, open, guarded, method } of USES) {
  t.test(`the README's ${title} guards what it says`, async t => {
    const origin = await lineOf(run(t, snippet(title)))
    const token = team.userToken({ email: 'root@acme.com', audience: AUD })
    t.equal((await fetch(origin + open)).status, 200)
    t.equal((await fetch(origin + guarded, { method })).status, 401)
    t.equal((await fetch(origin + guarded, { method, headers: bearing(token) })).status, 200)
  })
}

t.test('the OpenAPI document shows which routes are guarded', async t => {
  const origin = await lineOf(run(t, snippet('openapi')))
  const { components, paths } = await (await fetch(`${origin}/openapi.json`)).json() as {
    components: { securitySchemes: object }, paths: Record<string, { get: { security: unknown, responses: object } }>
  }
  t.strictSame(Object.keys(components.securitySchemes), ['cfAccess'])
  t.strictSame(Object.keys(paths), ['/admin'])
  t.match(paths['/admin'], { get: { security: [{ cfAccess: [] }], responses: { 401: {}, 403: {}, 503: {} } } })
})

t.test('the listener of the docs hears of a rejection', async t => {
  const listener = snippet('channels')
  const whole = `${snippet('prefix').replace('await app.listen({ port: 3000 })', '')}
    ${listener}
    await app.inject('/admin')`
  t.equal(await lineOf(run(t, whole)), 'FST_CF_ACCESS_TOKEN_MISSING missing /admin')
})

t.test('the test of one\'s own routes in the docs passes', async t => {
  for (const title of ['testing', 'testing-outage']) {
    const [code] = await once(run(t, snippet(title)), 'exit')
    t.equal(code, 0, title)
  }
})

t.test('the error handler of the docs answers 400 instead of 401, and changes nothing else', async t => {
  const app = createApp(t)
  installOn(app, snippet('bad-request'))
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy: { include: { serviceToken: true } } })
  app.get('/', async () => 'in')
  t.equal((await app.inject('/')).statusCode, 400)
  t.equal((await app.inject(
    { url: '/', headers: bearing(team.userToken({ email: 'a@acme.com', audience: AUD })) })).statusCode, 403)
})

t.test('the docs\' server of Node\'s own verifies too', async t => {
  const code = snippet('verifier')
    .replace('server.listen(3000)', "server.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))")
  const origin = await lineOf(run(t, code))
  t.equal((await fetch(origin)).status, 401)
  const headers = bearing(team.userToken({ email: 'a@acme.com', audience: AUD }))
  t.equal(await (await fetch(origin, { headers })).text(), 'hello a@acme.com')
})

t.test('the docs\' middleware for Express admits with an identity, and rejects without', async t => {
  const { outputText } = ts.transpileModule(snippet('express'), { compilerOptions: { module: ts.ModuleKind.ESNext } })
  const origin = await lineOf(run(t, `${outputText}
    const { createServer } = await import('node:http')
    const server = createServer((request, response) => {
      verifyAccess(request, response, () => response.end(request.cfAccess.email))
    }).listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))`))
  const rejected = await fetch(origin)
  t.match(await rejected.text(), 'FST_CF_ACCESS_TOKEN_MISSING')
  t.match(rejected, { status: 401 })
  t.equal(rejected.headers.get('cache-control'), 'no-store')
  const headers = bearing(team.userToken({ email: 'a@acme.com', audience: AUD }))
  t.equal(await (await fetch(origin, { headers })).text(), 'a@acme.com')
})

t.test('the docs\' page greets a user who is logged in', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  installOn(app, snippet('optional'))
  t.equal((await app.inject('/')).body, 'hello stranger')
  const headers = bearing(team.userToken({ email: 'a@acme.com', audience: AUD }))
  t.equal((await app.inject({ url: '/', headers })).body, 'hello a@acme.com')
})

t.test('the docs\' map accepts each tag on its own hostname', async t => {
  const app = createApp(t)
  const tags = { APP_TAG: AUD, SHOP_TAG: OTHER_AUD, STOCK_TAG: 'c'.repeat(64) }
  const code = snippet('hostnames').replace("'acme'", `'${team.domain}'`)
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor
  await new AsyncFunction('app', 'cfAccess', ...Object.keys(tags), code)(app, cfAccess, ...Object.values(tags))
  app.get('/', async () => 'in')
  const headers = bearing(team.userToken({ email: 'a@acme.com', audience: OTHER_AUD }))
  t.equal((await app.inject({ url: '/', headers: { ...headers, host: 'shop.example.net' } })).statusCode, 200)
  t.equal((await app.inject({ url: '/', headers: { ...headers, host: 'app.example.com' } })).statusCode, 401)
})

t.test('the readiness route of the docs is ready while a team has keys', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  installOn(app, snippet('ready'))
  await app.inject({ url: '/', headers: bearing(team.userToken({ email: 'a@acme.com', audience: AUD })) })
  const ready = await app.inject('/ready')
  t.equal(ready.statusCode, 200)
  t.match(ready.json(), [{ team: team.domain, state: 'fresh' }])
})

t.test('the docs\' configuration is one', async t => {
  const development = await readFile(join(root, 'docs', 'development.md'), 'utf8')
  const [, config] = /```json\n(.*?)```/s.exec(development)!
  const edge = await startEdge(t, { ...JSON.parse(config!) })
  t.strictSame(edge.applications.map(({ path }) => path), ['/admin', '/reports', '/api', '/'])
})

const COMPILER_OPTIONS = {
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023', 'dom'],
  types: ['node'],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  // The declarations of many packages. `package.test.ts` has ours checked.
  skipLibCheck: true,
  noEmit: true
}
// What snippets that are a part of an application stand on.
const SURROUNDINGS = `
  import type {} from '@fastify/websocket'
  import type { FastifyInstance } from 'fastify'
  import type * as plugin from 'fastify-cf-access'
  declare global {
    const app: FastifyInstance
    const cfAccess: typeof plugin.cfAccess
    const fromEnv: typeof plugin.fromEnv
    const guard: typeof plugin.guard
    const APP_TAG: string
    const ADMIN_TAG: string
    const REPORTS_TAG: string
    const SHOP_TAG: string
    const STOCK_TAG: string
  }`

t.test('every snippet of the README and the docs compiles in strict TypeScript', async t => {
  const modules = [...snippets].map(([title, code]) => [`${title}.ts`, `${code}\nexport {}\n`] as const)
  const project = t.testdir({
    ...Object.fromEntries(modules),
    'surroundings.ts': SURROUNDINGS,
    'tsconfig.json': JSON.stringify({ compilerOptions: COMPILER_OPTIONS })
  })
  // The others are compiled and run by test/neighbours, which has their packages.
  const fences = pages.join('').match(/^```[jt]s\b(?!.* project=neighbours$)/gm)!
  t.equal(fences.length, modules.length, 'every snippet has a title of its own')
  for (const compiler of ['typescript-5.5', 'typescript-7'] as const) {
    t.equal(await compile(project, compiler), '', compiler)
  }
})
