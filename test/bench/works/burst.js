/** 200 requests at the same moment, all with one new token: a page that loads its parts after a login. */
import { Agent, get } from 'node:http'
import { contestants } from '../contestants/index.js'
import { bearing } from '../load.js'
import { compare } from '../report.js'
import { inTurns, shareOf } from '../rounds.js'

const REQUESTS = 200
const BURSTS = 24

/** @param {import('../rounds.js').Bench} bench */
export async function burst (bench) {
  const [first, ...tokens] = bench.access.tokens(1 + 2 * BURSTS)
  const agent = new Agent({ keepAlive: true, maxSockets: REQUESTS })
  const figures = await inTurns(bench, contestants, { counting: true },
    server => together(server, agent, [first, ...tokens.slice(0, BURSTS)]),
    async (server, _, turn) =>
      ({
        '200 requests at once with one new token': await together(server, agent, shareOf(tokens.slice(BURSTS), turn))
      }))
  agent.destroy()
  return compare('Burst: ', figures, contestants)
}

/**
 * @param {import('../servers.js').Server} server
 * @param {Agent} agent
 * @param {string[]} tokens one a burst
 * @returns {Promise<import('../load.js').Sample>}
 */
async function together (server, agent, tokens) {
  const before = await server.ask('usage')
  const started = performance.now()
  for (const token of tokens) {
    await Promise.all(Array.from({ length: REQUESTS }, () => request(server.port, agent, token)))
  }
  const elapsed = (performance.now() - started) / 1000
  const after = await server.ask('usage')
  const count = tokens.length * REQUESTS
  return {
    cpu: (after.cpu - before.cpu) / count,
    rate: count / elapsed,
    verifications: (after.verifications - before.verifications) / tokens.length
  }
}

/** @param {number} port @param {Agent} agent @param {string} token */
async function request (port, agent, token) {
  const { statusCode } = await new Promise((resolve, reject) => {
    get({ port, agent, headers: bearing(token) }, response => {
      response.resume().on('end', () => resolve(response))
    }).on('error', reject)
  })
  if (statusCode !== 200) throw new Error(`A request was answered ${statusCode}`)
}
