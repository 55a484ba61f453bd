/**
 * Verifies tokens that were never seen before, in one process and without HTTP, with the plugin and with bare jose in
 * alternating rounds; then reads files while forged tokens are in flight. Prints the figures as JSON.
 */
import { readFile } from 'node:fs/promises'
import Fastify from 'fastify'
import { createLocalJWKSet, jwtVerify } from 'jose'
import cfAccess from '../../../dist/index.js'
import { createAccessTeam } from '../../../dist/testing/index.js'

const AUDIENCE = 'a'.repeat(64)
const COUNT = 1000
const ROUNDS = 6

const team = await createAccessTeam()
const tokens = Array.from({ length: 2 * COUNT * (ROUNDS + 1) }, (_, i) =>
  team.userToken({ email: `user-${i}@example.com`, audience: AUDIENCE }))

const app = Fastify()
await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
await app.ready()
await app.cfAccess.verify(team.userToken({ email: 'first@example.com', audience: AUDIENCE }))

const keys = createLocalJWKSet(team.certs)
const options = { issuer: team.domain, audience: AUDIENCE, algorithms: ['RS256'] }
const verifiers = {
  plugin: token => app.cfAccess.verify(token),
  jose: token => jwtVerify(token, keys, options)
}

/** @param {(token: string) => Promise<unknown>} verify @returns microseconds of CPU for each token */
async function cpuOf (verify) {
  // As off a socket: a flat string that was never hashed.
  const fresh = tokens.splice(0, COUNT).map(token => Buffer.from(token).toString('latin1'))
  const before = process.cpuUsage()
  for (const token of fresh) await verify(token)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / COUNT
}

/** @param {(token: string) => Promise<unknown>} verify */
async function forged (verify) {
  const forgeries = Array.from({ length: COUNT }, (_, i) => {
    const [head, payload, signature] = team.userToken({ email: `forged-${i}@example.com`, audience: AUDIENCE }).split('.')
    return `${head}.${payload}.${signature.slice(0, 100)}${signature.slice(100, 102) === 'AA' ? 'BB' : 'AA'}${signature.slice(102)}`
  })
  const before = process.cpuUsage()
  const started = performance.now()
  const rejected = forgeries.map(token => verify(token).then(() => { throw new Error('admitted') }, () => {}))
  await readFile(import.meta.filename)
  const delay = performance.now() - started
  await Promise.all(rejected)
  const { user, system } = process.cpuUsage(before)
  return { delay, cpu: (user + system) / 1000 }
}

const cold = { plugin: [], jose: [] }
for (let round = 0; round <= ROUNDS; round++) {
  for (const name of round % 2 === 0 ? ['plugin', 'jose'] : ['jose', 'plugin']) {
    const cpu = await cpuOf(verifiers[name])
    if (round > 0) cold[name].push(cpu) // the first warms up
  }
}
const beside = { plugin: await forged(verifiers.plugin), jose: await forged(verifiers.jose) }
await app.close()
await team.close()
console.log(JSON.stringify({ cold, beside }))
