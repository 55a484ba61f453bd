// An app and the plugin as bundlers put them together, run in a folder without any package.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { alice } from '../fixtures/neighbours.js'
import { command, run, start } from '../fixtures/program.js'
import { writeModule } from '../fixtures/snippet.js'

const APP = `
  import Fastify from 'fastify'
  import cfAccess, { fromEnv } from 'fastify-cf-access'

  const app = Fastify()
  app.register(cfAccess, fromEnv())
  app.get('/', async request => ({ email: request.cfAccess?.email }))
  app.listen({ port: 0, host: '127.0.0.1' }).then(origin => console.log(origin))`

// CommonJS packages in an ESM file call require(). Plain Fastify needs this too.
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

const ESBUILD = [command('esbuild'), '--bundle', '--platform=node']
const ROLLDOWN = [command('rolldown'), '--platform', 'node', '--no-code-splitting']

/** @type {[title: string, file: string, bundle: (app: string, file: string) => string[]][]} */
const BUNDLES = [
  ['esbuild, CommonJS', 'app.cjs', (app, file) => [...ESBUILD, app, `--outfile=${file}`]],
  ['esbuild, minified', 'app.cjs', (app, file) => [...ESBUILD, '--minify', app, `--outfile=${file}`]],
  ['esbuild, ESM', 'app.mjs', (app, file) => [...ESBUILD, '--format=esm', `--banner:js=${BANNER}`, app, `--outfile=${file}`]],
  ['rolldown', 'app.mjs', (app, file) => [...ROLLDOWN, app, '--file', file]]
]

/** @type {string} */
let folder
/** @type {string} */
let app

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bundles-'))
  app = await writeModule('bundlers/app.js', APP)
  // Bundlers follow the paths of the next tsconfig.json, which lead to the sources instead of the built package.
  await writeModule('bundlers/tsconfig.json', '{}')
})

after(async () => { await rm(folder, { recursive: true }) })

/** @param {{ origin: string }} app */
async function checkGuard ({ origin }) {
  assert.equal((await fetch(origin)).status, 401)
  const admitted = await fetch(origin, { headers: alice })
  assert.equal(admitted.status, 200)
  assert.deepEqual(await admitted.json(), { email: 'alice@acme.com' })
}

for (const [title, name, bundle] of BUNDLES) {
  test(`${title}: one file guards`, async t => {
    const file = join(folder, name)
    const { code, output } = await run(bundle(app, file))
    assert.equal(code, 0, output)
    await checkGuard(await start(t, [process.execPath, file], { cwd: folder }))
  })
}

test('@vercel/ncc: its folder guards', async t => {
  const out = join(folder, 'ncc')
  const { code, output } = await run([command('ncc'), 'build', app, '--quiet', '--no-cache', '--out', out])
  assert.equal(code, 0, output)
  await checkGuard(await start(t, [process.execPath, join(out, 'index.js')], { cwd: folder }))
})
