/** Tokens that must not come in, by what is wrong with them. */
import { randomBytes } from 'node:crypto'
import { closed, contestants } from '../contestants/index.js'
import { bearing, load } from '../load.js'
import { compare, matrix } from '../report.js'
import { inTurns } from '../rounds.js'

const ALL = [contestants[0], closed, ...contestants.slice(1)]

// More than a cache of errors would keep by default.
const COUNT = 2000

/**
 * @typedef {import('../rounds.js').Server} Server
 * @typedef {import('../rounds.js').Contestant} Contestant
 */

/** @param {import('../rounds.js').Bench} bench */
export async function rejected (bench) {
  const kinds = Object.entries(tokens(bench.access)).map(
    ([kind, tokens]) => ({ kind, requests: tokens.map(token => ({ headers: bearing(token) })) }))
  /** @param {Server} server @param {Contestant} contestant @param {number} seconds */
  const ask = async (server, { file, baseline }, seconds) => {
    const samples = {}
    for (const { kind, requests } of kinds) {
      samples[kind] = await load(server, requests, { admitted: file === baseline, seconds })
    }
    return samples
  }
  const figures = await inTurns(bench, ALL, {},
    (server, contestant) => ask(server, contestant, bench.seconds / 4),
    (server, contestant, { seconds }) => ask(server, contestant, seconds))
  return [
    matrix('Rejected: CPU µs a request, over those of a closed route', figures, ALL.slice(1),
      ({ baseline }) => baseline === 'open' ? closed.file : baseline),
    compare('Rejected: ', figures, ALL)
  ].join('\n')
}

/** @param {import('../access.js').Access} access */
function tokens (access) {
  const good = access.tokens(COUNT)
  return {
    malformed: good.map(token => token.replace('.', '!')),
    'wrong algorithm': good.map(token => reheaded(token, { alg: 'RS512' })),
    expired: access.tokens(COUNT, { expiresIn: '-1h' }),
    'wrong audience': access.tokens(COUNT, { audience: 'b'.repeat(64) }),
    'wrong issuer': access.tokens(COUNT, { iss: 'https://other.cloudflareaccess.com' }),
    // Last, since whatever comes after cryptography collects its garbage.
    'unknown kid': good.map(token => reheaded(token, { kid: randomBytes(32).toString('hex') })),
    'bad signature': good.map(forged)
  }
}

/** @param {string} token @param {object} header */
function reheaded (token, header) {
  const [head, ...rest] = token.split('.')
  const changed = { ...JSON.parse(Buffer.from(head, 'base64url').toString()), ...header }
  return [Buffer.from(JSON.stringify(changed)).toString('base64url'), ...rest].join('.')
}

/** @param {string} token */
function forged (token) {
  const at = token.lastIndexOf('.') + 100
  return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
}
