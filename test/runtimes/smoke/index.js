// Checks on the installed package in the runtime that runs this file, with real HTTP over loopback.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { ALICE, ask, AUD, check, closeAll, conclude, serveGuarded, startTeam } from './harness.js'

const GROUPS = ['package', 'coverage', 'tokens', 'identity', 'keys', 'sockets', 'edge']

/**
 * What a runtime does not support, each with the reason. docs/runtimes.md lists it too.
 * @type {Record<string, Record<string, string>>}
 */
const UNSUPPORTED = {
  Bun: { edge: 'Bun replaces undici, with which @fastify/http-proxy forwards, by one whose agents send nothing' }
}

const [, unsupported = {}] = Object.entries(UNSUPPORTED).find(([runtime]) => runtime in globalThis) ?? []
for (const group of GROUPS) {
  const reason = unsupported[group]
  if (reason === undefined) await import(`./${group}.js`)
  else console.log(`# not supported: ${group} (${reason})`)
}

await check('closing answers a request that waits for the keys, and then no other one', async () => {
  const team = await startTeam()
  team.outage('silent')
  const { app, url } = await serveGuarded(team, { keys: { timeout: '10m' } }, { forceCloseConnections: false })
  const arrived = once(app.server, 'request')
  const token = team.userToken({ email: ALICE, audience: AUD })
  const waiting = ask(url, { token, headers: { connection: 'close' } })
  await arrived
  await app.close()
  assert.equal((await waiting).status, 503)
  await assert.rejects(ask(url))
})

// The process must now end by itself: a timer or a socket that is left keeps it alive, which its caller notices.
await check('everything closes', closeAll)
conclude()
