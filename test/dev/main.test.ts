import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { banner } from '../../lib/dev/banner.js'
import { readArguments } from '../../lib/dev/arguments.js'
import { main } from '../../lib/dev/main.js'
import { ask, BROWSER, serveEcho } from '../fixtures/edge.js'
import { root } from '../fixtures/root.js'

/** The command, in a process of its own. */
function run (t: Test, args: readonly string[], nodeArgs: readonly string[] = []): ChildProcess {
  const cli = fileURLToPath(new URL('../../lib/cli.js', import.meta.url))
  const child = spawn(process.execPath, [...nodeArgs, cli, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill())
  return child
}

async function outcomeOf (child: ChildProcess): Promise<{ code: number, out: string, error: string }> {
  const [out, error, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code, out, error }
}

// Resolves no proxy, as where none was installed.
const WITHOUT_PROXY = `data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module'
  register('data:text/javascript,' + encodeURIComponent(\`
    export async function resolve (name, context, next) {
      if (name === '@fastify/http-proxy') throw Object.assign(new Error('not found'), { code: 'ERR_MODULE_NOT_FOUND' })
      return next(name, context)
    }\`))`)}`

// Started before it is asked for, since processes take their time.
const withoutProxy =
  outcomeOf(run(t, ['dev', '--to', 'http://127.0.0.1:3000', '--port', '0'], ['--import', WITHOUT_PROXY]))

t.test('it says what it is, and how to use it, ready to paste', async t => {
  const to = await serveEcho(t)
  const child = run(t, ['dev', '--to', to, '--port', '0', '--audience', 'my-tag', '--user', 'carol@acme.com=admins'])
  const said = new Promise<string>(resolve => {
    let heard = ''
    child.stdout!.setEncoding('utf8').on('data', chunk => {
      heard += chunk
      if (heard.includes('Ctrl+C')) resolve(heard)
    })
  })
  const announced = await said
  t.match(announced.split('\n')[0], /^An emulator for Cloudflare Access, for development only/)
  const [, url, port] = /^Open (http:\/\/127\.0\.0\.1:(\d+)) instead of /m.exec(announced)!
  const domain = `http://localhost:${port}`
  t.match(announced, `instead of ${to}\n`)
  t.match(announced, 'Sign in as carol@acme.com or any other address; a session lasts 24h.\n')
  t.match(announced, `  { teamDomain: '${domain}', audience: 'my-tag' }\n`)
  t.match(announced, `  CF_ACCESS_TEAM_DOMAIN=${domain}\n  CF_ACCESS_AUD=my-tag\n`)
  t.equal((await ask(url!, { headers: BROWSER })).status, 302)
  t.match((await ask(`${domain}/cdn-cgi/access/login`)).body, 'carol@acme.com')
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'close'), [0, null])
})

const FROM_ENV = `
  const { CF_ACCESS_TEAM_DOMAIN, CF_ACCESS_AUD } = process.env
  console.log(CF_ACCESS_TEAM_DOMAIN, CF_ACCESS_AUD)`

t.test('it runs the application beside it, with its settings, and ends with its exit code', async t => {
  const args = ['dev', '--to', 'http://127.0.0.1:3000', '--port', '0', '--audience', 'my-tag', '--']
  const { code, out, error } = await outcomeOf(run(t, [...args, process.execPath, '-e', `${FROM_ENV}; process.exit(7)`]))
  t.equal(error, '')
  t.equal(code, 7)
  t.match(out, /^Runs [^]*node[^]* with these environment variables\.$/m)
  t.match(out, /^http:\/\/localhost:\d+ my-tag$/m)
  t.match(out, /^ {2}CF_ACCESS_AUD=my-tag$/m)
})

t.test('it ends the application with itself', async t => {
  const script = `${FROM_ENV}; process.on('SIGTERM', () => process.exit(3)); setInterval(() => {}, 1000)`
  const child = run(t, ['dev', '--to', 'http://127.0.0.1:3000', '--port', '0', '--', process.execPath, '-e', script])
  let heard = ''
  for await (const chunk of child.stdout!) {
    heard += chunk
    if (/^http:.*$/m.test(heard)) child.kill('SIGINT') && child.kill('SIGTERM')
  }
  t.equal(child.exitCode ?? (await once(child, 'exit'))[0], 3, 'SIGINT alone leaves the end to the application')
})

t.test('it says what it cannot run', async t => {
  const outcome = await outcomeOf(run(t, ['dev', '--to', 'http://127.0.0.1:3000', '--port', '0', '--', 'no-such-program']))
  t.match(outcome, { code: 1, error: /^no-such-program cannot be started: .*ENOENT\n$/ })
})

t.test('an application that a signal ends is an error', async t => {
  const script = 'process.kill(process.pid, "SIGKILL")'
  const { code } = await outcomeOf(
    run(t, ['dev', '--to', 'http://127.0.0.1:3000', '--port', '0', '--', process.execPath, '-e', script]))
  t.equal(code, 1)
})

t.test('it says when the application does not answer', async t => {
  const child = run(t, ['dev', '--to', 'http://127.0.0.1:1', '--port', '0'])
  let heard = ''
  for await (const chunk of child.stdout!) {
    heard += chunk
    if (heard.includes('Ctrl+C')) child.kill('SIGTERM')
  }
  t.match(heard, 'instead of http://127.0.0.1:1, which does not answer yet\n')
  t.match(heard, 'Sign in as alice@example.com, bob@example.com or any other address')
})

t.test('it ends with 1 and one line that says what to install', async t => {
  t.match(await withoutProxy, {
    code: 1,
    out: '',
    error: /^The emulator needs @fastify\/http-proxy: npm install --save-dev @fastify\/http-proxy\n$/
  })
})

t.test('it prints its usage and its version', async t => {
  const said = t.capture(console, 'log')
  await main(['--help'])
  await main(['--version'])
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  t.match(said.args(), [[/^Usage: fastify-cf-access dev --to URL/], [version]])
})

t.test('it gives each application\'s options and tag', async t => {
  const domain = 'http://localhost:4000'
  const edge = {
    domain,
    url: 'http://127.0.0.1:4000',
    applications: [
      { hostname: '127.0.0.1', path: '/', audience: 'one', name: '/' },
      { hostname: '127.0.0.1', path: '/admin', audience: 'two', name: '/admin' },
      { hostname: 'app.localhost', path: '/', audience: 'three', name: 'app.localhost/' }
    ]
  }
  const facts = { to: 'http://127.0.0.1:3000', users: ['a@acme.com', 'b@acme.com'], session: '5m', isUp: false }
  const text = banner(edge, facts)
  t.match(text,
    `  { teamDomain: '${domain}', audience: 'one' }\n  { prefix: '/admin', teamDomain: '${domain}', audience: 'two' }\n`)
  t.match(text, '  CF_ACCESS_AUD=one\n  CF_ACCESS_AUD=two  # /admin\n  CF_ACCESS_AUD=three  # app.localhost\n')
  t.match(text, 'Open http://127.0.0.1:4000 instead of http://127.0.0.1:3000, which does not answer yet\n')
  t.match(text, 'Sign in as a@acme.com, b@acme.com or any other address; a session lasts 5m.')
})

t.test('every flag becomes an option', async t => {
  const { dev } = await readArguments(
    ['dev', '--to', 'http://127.0.0.1:3000', '--port', '1', '--user', 'a@acme.com=x, y,', '--user=b@acme.com',
      '--service-token', 'x.access=a=b', '--path', '/admin', '--group', 'x', '--group', 'y', '--audience', 'tag',
      '--session', '5m', '--rotate', '60s', '--outage', 'slow', '--keys', 'k.json', '--same-site', 'none', '--lenient',
      '--managed-oauth', '--verbose']) as { dev: object }
  t.strictSame(dev, {
    to: 'http://127.0.0.1:3000',
    port: 1,
    users: [{ email: 'a@acme.com', groups: ['x', 'y'] }, { email: 'b@acme.com' }],
    serviceTokens: [{ clientId: 'x.access', clientSecret: 'a=b' }],
    applications: [{ path: '/admin', audience: 'tag', policy: { include: { group: ['x', 'y'] } } }],
    session: '5m',
    rotate: '60s',
    outage: 'slow',
    keys: 'k.json',
    sameSite: 'none',
    lenient: true,
    managedOauth: true,
    verbose: true
  })
})

t.test('one flag is enough for an application', async t => {
  const policy = { include: { group: ['x'] } }
  for (const [args, application] of [[['--path', '/a'], { path: '/a' }], [['--group', 'x'], { path: '/', policy }],
    [['--audience', 'tag'], { path: '/', audience: 'tag' }]] as const) {
    t.strictSame(await readArguments(['dev', ...args]), { dev: { applications: [application] } })
  }
})

t.test('what follows -- is the application\'s own command', async t => {
  t.strictSame(await readArguments(['dev', '--port', '1', '--', 'node', '--port', '2']),
    { dev: { port: 1 }, run: ['node', '--port', '2'] })
  t.equal(await readArguments(['dev', '--help', '--', 'node']), 'help')
})

t.test('an outage need not be named', async t => {
  t.strictSame(await readArguments(['dev', '--outage']), { dev: { outage: 'down' } })
  t.strictSame(await readArguments(['dev', '--outage', '--rotate', '60s']), { dev: { outage: 'down', rotate: '60s' } })
  t.strictSame(await readArguments(['dev', '--outage=html']), { dev: { outage: 'html' } })
})

t.test('a file says the same and more, and flags go first', async t => {
  const config = {
    to: 'http://127.0.0.1:1',
    port: 2,
    applications: [{ path: '/admin', policy: { include: { group: 'admins' } } }]
  }
  const file = join(t.testdir({ 'access.json': JSON.stringify(config) }), 'access.json')
  t.strictSame(await readArguments(['dev', '--config', file, '--port', '3']), { dev: { ...config, port: 3 } })
})

t.test('what it cannot understand it says', async t => {
  const dir = t.testdir({ 'list.json': '[]', 'null.json': 'null', 'broken.json': '{' })
  const wrong: ReadonlyArray<readonly [args: readonly string[], message: RegExp]> = [
    [['start'], /The command is 'start'; it takes "dev" or "doctor"\./],
    [['dev', 'http://127.0.0.1:3000'], /The command is 'http:\/\/127\.0\.0\.1:3000'/],
    [['--to', 'x'], /The command is undefined/],
    [['dev', '--to', 'x', '--'], /^Nothing follows "--"; it takes the command that starts your app\.$/],
    [['dev', '--too', 'x'], /"--too" is not known; did you mean "--to"\?/],
    [['dev', '--to'], /'--to <value>' argument missing.*See --help/],
    [['dev', '--help=yes'], /--help.* does not take an argument.*See --help/],
    [['dev', '--service-token', 'x'], /"--service-token" is 'x'; it takes ID=SECRET/],
    [['dev', '--config', join(dir, 'list.json')], /"--config" names .*list\.json, which does not contain a JSON object/],
    [['dev', '--config', join(dir, 'null.json')], /null\.json, which does not contain a JSON object/],
    [['dev', '--config', join(dir, 'broken.json')], /broken\.json, which cannot be read: .*JSON/],
    [['dev', '--config', join(dir, 'none.json')], /none\.json, which cannot be read: ENOENT/]
  ]
  for (const [args, message] of wrong) {
    await t.rejects(readArguments(args), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message }, args.join(' '))
  }
  t.equal(await readArguments([]), 'help')
})
