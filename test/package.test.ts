import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { compile } from './fixtures/compile.js'
import { root } from './fixtures/root.js'

const run = promisify(execFile)
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)

interface Manifest {
  readonly name: string
  readonly version: string
  readonly bin: Record<string, string>
  readonly exports: Record<string, unknown>
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
  readonly peerDependenciesMeta: Record<string, { readonly optional?: boolean }>
}

const COMPILER_OPTIONS = {
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  noEmit: true
}

const identityPage = await readFile(join(root, 'docs', 'identity.md'), 'utf8')

const project = t.testdir({
  'package.json': '{ "private": true }',
  'use.mjs': `
    import Fastify from 'fastify'
    import cfAccess, { guard, cfAccess as named, TokenMissingError } from 'fastify-cf-access'
    import { createAccessTeam } from 'fastify-cf-access/testing'
    import { tryOut } from './try-out.cjs'
    await tryOut({ Fastify, plugin: cfAccess, named, guard, createAccessTeam, TokenMissingError })`,
  'use.cjs': `
    const Fastify = require('fastify')
    const plugin = require('fastify-cf-access')
    const { createAccessTeam } = require('fastify-cf-access/testing')
    require('./try-out.cjs').tryOut({ ...plugin, Fastify, plugin, named: plugin.default, createAccessTeam })`,
  'try-out.cjs': `
    exports.tryOut = async ({ Fastify, plugin, named, guard, createAccessTeam, TokenMissingError }) => {
      const team = await createAccessTeam()
      const app = Fastify()
      app.register(plugin, { teamDomain: team.domain, audience: 'tag', prefix: '/admin' })
      app.setErrorHandler((error, request, reply) => reply.code(error.statusCode).send(error instanceof TokenMissingError))
      app.get('/admin', async request => request.cfAccess.email)
      app.get('/guarded', { preHandler: guard() }, async request => request.cfAccess.email)
      for (const url of ['/admin', '/guarded']) {
        const rejected = await app.inject(url)
        const headers = { 'cf-access-jwt-assertion': team.userToken({ email: 'a@acme.com', audience: 'tag' }) }
        const admitted = await app.inject({ url, headers })
        console.log(url, rejected.statusCode, rejected.body, admitted.statusCode, admitted.body, named === plugin.default)
      }
      await app.close()
      await team.close()
    }`,
  'use.ts': `
    import Fastify from 'fastify'
    import cfAccess, { channels, guard, type CfAccessIdentity } from 'fastify-cf-access'
    import { createAccessTeam, type AccessTeam } from 'fastify-cf-access/testing'
    import { createAccessEdge, type AccessEdge, type AccessEdgeOptions } from 'fastify-cf-access/dev'
    export const team: Promise<AccessTeam> = createAccessTeam()
    const options: AccessEdgeOptions = { to: 'http://127.0.0.1:3000', applications: [{ path: '/admin', policy: { include: { group: 'admins' } } }] }
    export const edge: Promise<AccessEdge> = createAccessEdge(options)
    const app = Fastify()
    app.register(cfAccess, { teamDomain: 'acme', audience: 'tag' })
    app.get('/', { config: { cfAccess: false }, preHandler: guard() }, async (request): Promise<CfAccessIdentity | null> => request.cfAccess)
    app.get('/claims', async request => {
      const department: string | undefined = request.cfAccess?.claims.custom?.department
      // @ts-expect-error the declaration in the docs is the whole application's
      request.cfAccess?.claims.custom?.salary
      return department
    })
    channels.verify.subscribe(({ duration }) => duration.toFixed())`,
  'page.ts': `
    import Fastify from 'fastify'
    const app = Fastify()
    ${/```ts title=types\n(.*?)```/s.exec(identityPage)![1]!}`,
  'tsconfig.json': JSON.stringify({
    compilerOptions: COMPILER_OPTIONS,
    files: ['use.ts', 'page.ts']
  })
})

/** A project that uses the verifier, in a folder from where no Fastify can be found. */
const withoutFastify = await mkdtemp(join(tmpdir(), 'without-fastify-'))
t.teardown(() => rm(withoutFastify, { recursive: true }))
const WITHOUT_FASTIFY = {
  'package.json': '{ "private": true }',
  'use.mjs': `
    import { createVerifier } from 'fastify-cf-access/verifier'
    import { createAccessTeam } from 'fastify-cf-access/testing'
    const team = await createAccessTeam()
    const verifier = createVerifier({ teamDomain: team.domain, audience: 'tag' })
    const identity = await verifier.verify(team.userToken({ email: 'a@acme.com', audience: 'tag' }))
    const error = await verifier.authenticate({ headers: {} }).catch(error => error)
    console.log(identity.email, error.code, await import('fastify').catch(error => error.code))`,
  'use.ts': `
    import { createVerifier, type CfAccessIdentity, type CfAccessVerifier } from 'fastify-cf-access/verifier'
    import { createServer } from 'node:http'
    const verifier: CfAccessVerifier = createVerifier({
      teamDomain: ['acme', 'acme-old'],
      audience: { 'app.example.com': 'tag' },
      policy: (identity, { headers }) => identity.kind === 'user' && headers.origin === undefined
    })
    createServer(async (request, response) => {
      const identity: CfAccessIdentity = await verifier.authenticate(request)
      response.end(identity.kind === 'user' ? identity.email : identity.kind)
    })`,
  'tsconfig.json': JSON.stringify({ compilerOptions: COMPILER_OPTIONS, files: ['use.ts'] })
}

let tarball: string
let manifest: Manifest

t.before(async () => {
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project],
    { cwd: root })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  tarball = join(project, filename)
  await install(project, true)
  for (const [name, text] of Object.entries(WITHOUT_FASTIFY)) await writeFile(join(withoutFastify, name), text)
  await install(withoutFastify, false)
})

/** What an installation lays out: the package unpacked, beside it what it declares to need, and nothing else. */
async function install (project: string, hasPeers: boolean): Promise<void> {
  const modules = join(project, 'node_modules')
  const home = join(modules, 'fastify-cf-access')
  await mkdir(home, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', home, '--strip-components=1'])
  manifest = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'))
  const peers =
    Object.keys(manifest.peerDependencies).filter(name => manifest.peerDependenciesMeta[name]?.optional !== true)
  for (const name of [...Object.keys(manifest.dependencies), ...hasPeers ? peers : [], '@types/node']) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
}

t.test('the package works from ESM and from CommonJS', async t => {
  for (const script of ['use.mjs', 'use.cjs']) {
    const { stdout } = await run(process.execPath, [script], { cwd: project, env: { PATH: process.env['PATH'] } })
    t.match(stdout.trim().split('\n'), [
      /^\/admin 401 true 200 a@acme\.com true$/,
      /^\/guarded 401 true 200 a@acme\.com true$/
    ], script)
  }
})

t.test('its types hold for a consumer who checks every declaration', async t => {
  t.equal(await compile(project), '')
})

t.test('its declarations are right for the oldest compiler that users can have', async t => {
  const entries = Object.keys(manifest.exports).filter(entry => entry !== './package.json')
  const names = entries.map(entry => entry.replace('.', manifest.name))
  await writeFile(join(project, 'oldest.mts'), names.map(name => `export type {} from '${name}'\n`).join(''))
  const options = { ...COMPILER_OPTIONS, lib: ['es2023', 'dom'] }
  await writeFile(join(project, 'oldest.json'), JSON.stringify({ compilerOptions: options, files: ['oldest.mts'] }))
  t.equal(await compile(join(project, 'oldest.json'), 'typescript-5.5'), '')
})

t.test('the verifier works where Fastify is not installed', async t => {
  const { stdout } = await run(process.execPath, ['use.mjs'],
    { cwd: withoutFastify, env: { PATH: process.env['PATH'] } })
  t.equal(stdout, 'a@acme.com FST_CF_ACCESS_TOKEN_MISSING ERR_MODULE_NOT_FOUND\n')
  t.equal(await compile(withoutFastify), '')
})

t.test('older resolution of modules finds every entry point', async t => {
  const options = {
    ...COMPILER_OPTIONS,
    module: 'commonjs',
    moduleResolution: 'node10',
    ignoreDeprecations: '6.0',
    skipLibCheck: true
  }
  await writeFile(join(project, 'node10.ts'), `
    import type { CfAccessOptions } from 'fastify-cf-access'
    import type { CfAccessVerifier } from 'fastify-cf-access/verifier'
    import type { AccessIdentity } from 'fastify-cf-access/browser'
    import type { AccessTeam } from 'fastify-cf-access/testing'
    import type { AccessEdge } from 'fastify-cf-access/dev'
    export const all: [CfAccessOptions?, CfAccessVerifier?, AccessIdentity?, AccessTeam?, AccessEdge?] = []`)
  await writeFile(join(project, 'node10.json'), JSON.stringify({ compilerOptions: options, files: ['node10.ts'] }))
  t.equal(await compile(join(project, 'node10.json'), 'typescript'), '')
})

t.test('the module for browsers is one small file that needs no other', async t => {
  const file = createRequire(join(project, 'use.cjs')).resolve('fastify-cf-access/browser')
  const text = await readFile(file, 'utf8')
  t.notMatch(text, /\bimport\b|\bprocess\b|\brequire\b/)
  t.ok(gzipSync(text).length <= 3 * 1024, 'at most 3 kB, compressed')
  await writeFile(join(project, 'browser.mts'), `
    import { accessFetch, onSessionEndSoon, signOut, whoAmI, type SessionEndEvent } from 'fastify-cf-access/browser'
    const answer: Response = await accessFetch('/api', { method: 'POST', onSessionEnd: 'ask' })
    await accessFetch(new URL('/', location.href), { onSessionEnd: (event: SessionEndEvent) => event === 'ended' && 'reload' })
    const email: string | undefined = (await whoAmI())?.email
    const cancel: () => void = onSessionEndSoon(Date.now(), '5m', () => {})
    export const all = [answer, email, cancel, signOut('https://app.example.com', { clearCaches: true })]`)
  const options = { ...COMPILER_OPTIONS, lib: ['es2023', 'dom'], types: [] }
  await writeFile(join(project, 'browser.json'), JSON.stringify({ compilerOptions: options, files: ['browser.mts'] }))
  t.equal(await compile(join(project, 'browser.json')), '')
})

t.test('its command runs', async t => {
  const command = join(project, 'node_modules', manifest.name, manifest.bin[manifest.name]!)
  t.match(await readFile(command, 'utf8'), /^#!\/usr\/bin\/env node\n/)
  const { stdout } = await run(process.execPath, [command, '--version'], {
    cwd: project,
    env: { PATH: process.env['PATH'] }
  })
  t.equal(stdout, `${manifest.version}\n`)
  const doctor = await run(process.execPath, [command, 'doctor', '--help'], { cwd: project, env: {} })
  t.match(doctor.stdout, /^Usage: fastify-cf-access doctor/)
})

t.test('it is packed as registries and type checkers want it', async t => {
  await t.resolves(run(bin('publint'), ['run', tarball, '--strict']))
  await t.resolves(run(bin('attw'), [tarball, '--profile', 'esm-only']))
})

t.test('it holds what users need, and nothing else', async t => {
  const { stdout } = await run('tar', ['-tzf', tarball])
  const files = stdout.trim().split('\n').map(file => file.replace(/^package\//, ''))
  const known = /^(?:dist\/(?:\w+\/)?[\w-]+\.(?:d\.ts|js)|(?:package\.json|README\.md|LICENSE|SECURITY\.md|CHANGELOG\.md))$/
  const strays = files.filter(file => !known.test(file))
  t.strictSame(strays, [])
  for (const file of ['dist/index.js', 'dist/index.d.ts', 'dist/testing/index.js', 'dist/cli.js', 'dist/browser.js',
    'README.md', 'LICENSE', 'SECURITY.md']) {
    t.ok(files.includes(file), file)
  }
  t.ok((await stat(tarball)).size <= 120_000, 'at most 120 kB')
})
