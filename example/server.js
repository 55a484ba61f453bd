// Starts the example. With `--check` it makes its requests, compares, and ends with 0 or 1.
// With CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD set it runs against that team instead of an emulator.
import { createAccessTeam } from 'fastify-cf-access/testing'
import { createApp } from './app.js'
import { ROBOT, startBehindEdge } from './edge.js'
import { createRequests, make } from './requests.js'

const { CF_ACCESS_TEAM_DOMAIN: teamDomain, CF_ACCESS_AUD: audience, PORT = '3000', EDGE_PORT = '4000' } = process.env
const checking = process.argv.includes('--check')

if (teamDomain !== undefined && audience !== undefined) await runForReal(teamDomain, audience)
else await runOnEmulator('f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1')

/**
 * @param {string} teamDomain
 * @param {string} audience
 */
async function runForReal (teamDomain, audience) {
  const app = await createApp({ teamDomain, audience }, { logger: true })
  await app.listen({ port: Number(PORT), host: '127.0.0.1' })
  console.log(`Put the Access application of ${teamDomain} in front of this address, with a tunnel for one.`)
}

/** @param {string} audience */
async function runOnEmulator (audience) {
  const [team, strangers] = await Promise.all([createAccessTeam(), createAccessTeam()])
  const partnerAudience = '9'.repeat(64)
  const app = await createApp({ teamDomain: team.domain, audience, partnerAudience })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const allAsExpected = await tryOut(origin, createRequests(team, strangers, { audience, partnerAudience }))
  await Promise.all([app.close(), team.close(), strangers.close()])

  if (checking) process.exitCode = allAsExpected ? 0 : 1
  else await stayUp(audience)
}

/** @param {string} audience */
async function stayUp (audience) {
  const { edge } = await startBehindEdge({ port: Number(PORT), edgePort: Number(EDGE_PORT), audience })
  console.log(`
Now by hand, through an emulator for Cloudflare's edge. Open

  ${edge.url}/admin

and sign in as Alice, who may come in, or as Bob, who may not. A page whose session may end while it is open:

  ${edge.url}/admin/page

Without a browser:

  curl -i ${edge.url}/admin
  curl -i -X POST ${edge.url}/deploy -H 'CF-Access-Client-Id: ${ROBOT.clientId}' -H 'CF-Access-Client-Secret: ${ROBOT.clientSecret}'

Press Ctrl+C to stop.`)
}

/**
 * @param {string} origin
 * @param {import('./requests.js').ExampleRequest[]} requests
 */
async function tryOut (origin, requests) {
  let allAsExpected = true
  for (const request of requests) {
    const { status, outcome, asExpected } = await make(origin, request)
    allAsExpected &&= asExpected
    const line =
      [request.who.padEnd(17), (request.method ?? 'GET').padEnd(5), request.path.padEnd(15), status, outcome.slice(0, 60)].join(' ')
    console.log(asExpected ? line : `${line}   <- expected ${request.status} ${request.outcome}`)
  }
  return allAsExpected
}
