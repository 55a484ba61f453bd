// The entry points of the package, and its command.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import * as imported from 'fastify-cf-access'
import { ALICE, AUD, check, startTeam } from './harness.js'

const load = createRequire(import.meta.url)
const { version, bin } = load('fastify-cf-access/package.json')
const command = fileURLToPath(new URL(`../node_modules/fastify-cf-access/${bin['fastify-cf-access']}`, import.meta.url))
const flags = 'Deno' in globalThis ? ['run', '--allow-all'] : []

/** @param {string[]} args @param {string} [input] */
async function run (args, input = '') {
  const child = spawn(process.execPath, [...flags, command, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(input)
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  return { output, code }
}

await check('import has the plugin as default and by name', () => {
  assert.equal(typeof imported.default, 'function')
  assert.equal(imported.default, imported.cfAccess)
})

await check('require() has the same plugin', () => {
  const required = load('fastify-cf-access')
  assert.equal(required.default, imported.default)
  assert.equal(required.guard, imported.guard)
})

await check('require() has the other entry points', () => {
  assert.equal(typeof load('fastify-cf-access/verifier').createVerifier, 'function')
  assert.equal(typeof load('fastify-cf-access/testing').createAccessTeam, 'function')
  assert.equal(typeof load('fastify-cf-access/dev').createAccessEdge, 'function')
})

await check('an invalid option stops the start', async () => {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.register(imported.cfAccess, { teamDomain: 'acme', audience: '' })
  await assert.rejects(async () => await app.ready(), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
})

await check('the command tells its version', async () => {
  assert.deepEqual(await run(['--version']), { output: `${version}\n`, code: 0 })
})

await check('the command doctor explains itself', async () => {
  const { output, code } = await run(['doctor', '--help'])
  assert.match(output, /^Usage: fastify-cf-access doctor/)
  assert.equal(code, 0)
})

await check('the doctor accepts a valid token, and rejects an expired one', async () => {
  const team = await startTeam()
  const args = ['doctor', '--team', team.domain, '--audience', AUD, '--token', '-', '--json']
  const alice = { email: ALICE, audience: AUD }
  assert.equal((await run(args, team.userToken(alice))).code, 0)
  const { output, code } = await run(args, team.userToken({ ...alice, expiresIn: '-1h' }))
  assert.equal(code, 1)
  assert.equal(JSON.parse(output).ok, false)
})
