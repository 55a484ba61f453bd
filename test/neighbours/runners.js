// Projects whose tests run in Vitest and in Jest, with the team emulator.
import assert from 'node:assert/strict'
import { cp, mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { command, run } from '../fixtures/program.js'
import { readJestConfig, readSnippet, writeModule } from '../fixtures/snippet.js'

const ROOT = join(import.meta.dirname, '../..')

// Without inject(), which in Jest's ESM needs a Node.js that has Jest's require() of ESM.
const ESM_TEST = `
  import { expect, test } from '@jest/globals'
  import Fastify from 'fastify'
  import cfAccess, { TokenMissingError } from 'fastify-cf-access'
  import { createAccessTeam } from 'fastify-cf-access/testing'

  test('users get in', async () => {
    const team = await createAccessTeam()
    const app = Fastify({ forceCloseConnections: true })
    app.register(cfAccess, { teamDomain: team.domain, audience: 'any-tag' })
    app.setErrorHandler((error, request, reply) =>
      reply.code(error.statusCode).send({ isMissing: error instanceof TokenMissingError }))
    app.get('/', async request => {
      const { groups } = await request.cfAccess.details()
      return { email: request.cfAccess.email, groups }
    })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })

    const rejected = await fetch(origin)
    expect(rejected.status).toBe(401)
    expect(await rejected.json()).toEqual({ isMissing: true })
    const token = team.userToken({ email: 'alice@acme.com', audience: 'any-tag', identity: { groups: [] } })
    const admitted = await fetch(origin, { headers: { 'cf-access-jwt-assertion': token } })
    expect(await admitted.json()).toEqual({ email: 'alice@acme.com', groups: [] })

    await app.close()
    await team.close()
  })`

/**
 * A project in which the plugin is installed, not linked: runners treat node_modules in their own way.
 *
 * @param {string} name
 * @param {string} text of its test
 * @param {Record<string, string>} [files]
 */
async function createProject (name, text, files = {}) {
  const folder = dirname(await writeModule(`${name}/app.test.js`, text))
  await writeModule(`${name}/package.json`, '{ "private": true, "type": "module" }')
  for (const [file, content] of Object.entries(files)) await writeModule(`${name}/${file}`, content)
  const installed = join(folder, 'node_modules/fastify-cf-access')
  await cp(join(ROOT, 'dist'), join(installed, 'dist'), { recursive: true })
  const manifest = await readFile(join(ROOT, 'package.json'), 'utf8')
  await writeModule(`${name}/node_modules/fastify-cf-access/package.json`, manifest)
  for (const dependency of Object.keys(JSON.parse(manifest).dependencies)) {
    const link = join(installed, 'node_modules', dependency)
    await mkdir(dirname(link), { recursive: true })
    await rm(link, { force: true })
    await symlink(join(ROOT, 'node_modules', dependency), link)
  }
  return folder
}

/** @param {string} output */
const passedIn = output => /^ *Tests +(?:.\[\d+m)*1 passed/m.test(output) || /^Tests: +1 passed, 1 total/m.test(output)

test('Vitest runs the snippet', async () => {
  const cwd = await createProject('vitest', await readSnippet('vitest'))
  const { code, output } = await run([command('vitest'), 'run'], { cwd, env: { NO_COLOR: '1' } })
  assert.equal(code, 0, output)
  assert.ok(passedIn(output), output)
})

test('Jest with Babel runs the snippet, with the documented settings', async () => {
  const text = (await readSnippet('vitest')).replace("'vitest'", "'@jest/globals'")
  const cwd = await createProject('jest', text, { 'jest.config.json': await readJestConfig() })
  const { code, output } = await run([command('jest'), '--ci', '--forceExit'], { cwd })
  assert.equal(code, 0, output)
  assert.ok(passedIn(output), output)
})

test('Jest\'s ESM runs a test that asks over HTTP', async () => {
  const cwd = await createProject('jest-esm', ESM_TEST, { 'jest.config.json': '{ "transform": {} }' })
  const env = { NODE_OPTIONS: '--experimental-vm-modules' }
  const { code, output } = await run([command('jest'), '--ci', '--forceExit'], { cwd, env })
  assert.equal(code, 0, output)
  assert.ok(passedIn(output), output)
})
