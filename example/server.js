// Starts the example. With `--check` it makes its requests, compares, and ends with 0 or 1.
// With CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD set it runs against that team instead of a stand-in.
import { createAccessTeam } from 'fastify-cf-access/testing'
import { createApp } from './app.js'
import { createRequests, make } from './requests.js'

const { CF_ACCESS_TEAM_DOMAIN: teamDomain, CF_ACCESS_AUD: audience, PORT = '3000' } = process.env
const checking = process.argv.includes('--check')

if (teamDomain !== undefined && audience !== undefined) await runForReal(teamDomain, audience)
else await runOnStandIn('f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1')

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
async function runOnStandIn (audience) {
  const [team, strangers] = await Promise.all([createAccessTeam(), createAccessTeam()])
  const app = await createApp({ teamDomain: team.domain, audience })
  const origin = await app.listen({ port: checking ? 0 : Number(PORT), host: '127.0.0.1' })
  const allAsExpected = await tryOut(origin, createRequests(team, strangers, audience))

  if (checking) {
    await Promise.all([app.close(), team.close(), strangers.close()])
    process.exitCode = allAsExpected ? 0 : 1
    return
  }
  const token = team.userToken({ email: 'alice@example.com', audience })
  console.log(`
Try it by hand; the token is good for an hour:

TOKEN=${token}
curl -i ${origin}/admin
curl -i ${origin}/admin -H "Cf-Access-Jwt-Assertion: $TOKEN"
curl -i ${origin}/admin --cookie "CF_Authorization=$TOKEN"

Ctrl+C ends it.`)
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
    const line = [request.who.padEnd(17), (request.method ?? 'GET').padEnd(5), request.path.padEnd(15), status, outcome.slice(0, 60)].join(' ')
    console.log(asExpected ? line : `${line}   <- expected ${request.status} ${request.outcome}`)
  }
  return allAsExpected
}
