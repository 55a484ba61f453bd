// fastify-cli: an app as it generates one, started by its command.
import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { before, test } from 'node:test'
import { freePort } from '../fixtures/free-port.js'
import { alice } from '../fixtures/neighbours.js'
import { command, run, start } from '../fixtures/program.js'
import { readSnippet, writeModule } from '../fixtures/snippet.js'

const TEMPLATE = join(import.meta.dirname, 'node_modules/fastify-cli/templates/app-esm/app.js')

const ROOT = `
  export default async function (app, options) {
    app.get('/', async () => ({ region: options.region }))
  }`

const ADMIN = `
  export default async function (app) {
    app.get('/', async request => ({ email: request.cfAccess?.email }))
  }`

// Autoload's short form, for apps that fastify-cli does not start.
const SHORT_FORM = `
  export { default } from 'fastify-cf-access'
  export const autoConfig = { prefixes: ['/admin'], teamDomain: 'acme', audience: 'any-tag' }`

/** @param {string} name @param {string} plugin the file in the folder for plugins */
async function generate (name, plugin) {
  const root = await writeModule(`${name}/routes/root.js`, ROOT)
  await writeModule(`${name}/routes/admin/index.js`, ADMIN)
  await writeModule(`${name}/plugins/access.js`, plugin)
  const app = join(dirname(dirname(root)), 'app.js')
  await copyFile(TEMPLATE, app)
  return app
}

/** @param {string} app @param {readonly string[]} args */
const startLine = async (app, args) =>
  [command('fastify'), 'start', '-l', 'info', '-a', '127.0.0.1', '-p', String(await freePort()), app, ...args]

/** @type {string} */
let app

before(async () => { app = await generate('cli', await readSnippet('fastify-cli')) })

/** @type {[args: string[], options: object][]} */
const CASES = [
  [[], {}],
  [['--options'], {}],
  [['--', '--region=eu'], { region: 'eu' }]
]

for (const [args, options] of CASES) {
  test(`fastify start ${args.join(' ')}`, async t => {
    const { origin, lines } = await start(t, await startLine(app, args))
    assert.doesNotMatch(lines.join(), /"level":40/, 'no warning')
    const open = await fetch(origin)
    assert.equal(open.status, 200)
    assert.deepEqual(await open.json(), options)
    assert.equal((await fetch(`${origin}/admin`)).status, 401)
    const admitted = await fetch(`${origin}/admin`, { headers: alice })
    assert.equal(admitted.status, 200)
    assert.deepEqual(await admitted.json(), { email: 'alice@acme.com' })
  })
}

test('with --prefix a generated app has it twice in its routes, which a warning shows', async t => {
  const { origin, lines } = await start(t, await startLine(app, ['--prefix', '/api']))
  assert.match(lines.join(), /Cloudflare Access guards \/api\/admin, but no route is there/)
  assert.equal((await fetch(`${origin}/api/api/admin`)).status, 200)
})

test('the short form of autoload gets the options of the command, and stops the start', async () => {
  const short = await generate('cli-short', SHORT_FORM)
  const { code, output } = await run(await startLine(short, ['--', '--region=eu']))
  assert.notEqual(code, 0)
  assert.match(output, /Option "region" is not known/)
})
