// The requests a newcomer would make, and what each must come to.
import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { WebSocket } from 'ws'
import { PARTNERS } from './app.js'

/**
 * @typedef {object} ExampleRequest
 * @property {string} who
 * @property {string} [method]
 * @property {string} path
 * @property {Record<string, string>} [headers]
 * @property {boolean} [isSocket] opens a WebSocket
 * @property {number} status
 * @property {string} [outcome] the error's code, or how the body begins
 */

/**
 * @param {import('fastify-cf-access/testing').AccessTeam} team
 * @param {import('fastify-cf-access/testing').AccessTeam} strangers another team, whose tokens mean nothing here
 * @param {{ audience: string, partnerAudience: string }} tags
 * @returns {ExampleRequest[]}
 */
export function createRequests (team, strangers, { audience, partnerAudience }) {
  const alice = team.userToken({ email: 'alice@example.com', audience, identity: { groups: ['staff'] } })
  const clerk = team.userToken({ email: 'clerk@example.com', audience, identity: { groups: ['staff', 'billing'] } })
  const guest = team.userToken({ email: 'guest@elsewhere.example', audience })
  const partner = team.userToken({ email: 'pat@partner.example', audience: partnerAudience })
  const robot = team.serviceToken({ clientId: 'e367826f93b8d71185e03fe518aff3b4.access', audience })
  const stranger = strangers.userToken({ email: 'alice@example.com', audience })
  const expired = team.userToken({ email: 'alice@example.com', audience, expiresIn: '-1m' })

  return [
    { who: 'no token', path: '/', status: 200, outcome: 'Anyone' },
    { who: 'alice', path: '/', headers: bearing(alice), status: 200, outcome: 'Anyone can read this, also alice@example.com' },
    { who: 'a stranger', path: '/', headers: bearing(stranger), status: 200, outcome: 'Anyone can read this.' },
    { who: 'no token', path: '/admin', status: 401, outcome: 'FST_CF_ACCESS_TOKEN_MISSING' },
    { who: 'no token', path: '/admin/unknown', status: 401, outcome: 'FST_CF_ACCESS_TOKEN_MISSING' },
    { who: 'no token', path: '/admin/health', status: 200, outcome: 'ok' },
    { who: 'alice, by cookie', path: '/admin', headers: { cookie: `CF_Authorization=${alice}` }, status: 200, outcome: 'Hello alice@example.com' },
    { who: 'alice, by header', path: '/admin', headers: bearing(alice), status: 200, outcome: 'Hello alice@example.com' },
    { who: 'alice', path: '/admin/unknown', headers: bearing(alice), status: 404, outcome: 'There is no such page' },
    { who: 'alice', path: '/admin/page', headers: bearing(alice), status: 200, outcome: '<!doctype html>' },
    { who: 'alice', path: '/admin/access.js', headers: bearing(alice), status: 200 },
    { who: 'no token', path: '/admin/time', status: 401, outcome: 'FST_CF_ACCESS_TOKEN_MISSING' },
    { who: 'a clerk', path: '/admin/billing', headers: bearing(clerk), status: 200, outcome: 'The books' },
    { who: 'alice', path: '/admin/billing', headers: bearing(alice), status: 403, outcome: 'FST_CF_ACCESS_FORBIDDEN' },
    { who: 'no token', path: '/ready', status: 200, outcome: '[{"team":' },
    { who: 'alice', path: '/reports', headers: bearing(alice), status: 200, outcome: 'Our own users' },
    { who: 'a guest', path: '/reports', headers: bearing(guest), status: 403, outcome: 'FST_CF_ACCESS_FORBIDDEN' },
    { who: 'a service', method: 'POST', path: '/deploy', headers: bearing(robot), status: 200, outcome: 'Deployed for e367826f' },
    { who: 'alice', method: 'POST', path: '/deploy', headers: bearing(alice), status: 403, outcome: 'FST_CF_ACCESS_FORBIDDEN' },
    { who: 'a partner', path: '/prices', headers: { ...bearing(partner), host: PARTNERS }, status: 200, outcome: 'The prices' },
    { who: 'alice', path: '/prices', headers: { ...bearing(alice), host: PARTNERS }, status: 401, outcome: 'FST_CF_ACCESS_TOKEN_INVALID' },
    { who: 'a partner', path: '/admin', headers: { ...bearing(partner), host: PARTNERS }, status: 401, outcome: 'FST_CF_ACCESS_TOKEN_INVALID' },
    { who: 'alice', method: 'POST', path: '/deploy', headers: { ...bearing(alice), origin: 'https://evil.example' }, status: 403, outcome: 'FST_CF_ACCESS_CROSS_ORIGIN' },
    { who: 'alice', path: '/live', isSocket: true, headers: bearing(alice), status: 101, outcome: 'Hello alice@example.com' },
    { who: 'no token', path: '/live', isSocket: true, status: 401 },
    { who: 'a stranger', path: '/admin', headers: bearing(stranger), status: 401, outcome: 'FST_CF_ACCESS_TOKEN_INVALID' },
    { who: 'alice, too late', path: '/admin', headers: bearing(expired), status: 401, outcome: 'FST_CF_ACCESS_TOKEN_EXPIRED' },
    { who: 'a pretender', path: '/admin', headers: { 'cf-access-authenticated-user-email': 'alice@example.com' }, status: 401, outcome: 'FST_CF_ACCESS_TOKEN_MISSING' }
  ]
}

/** @param {{ code?: string, message?: string }} error */
function errorOf ({ code, message = '' }) {
  return code ?? message
}

/** @param {string} token */
function bearing (token) {
  return { 'cf-access-jwt-assertion': token }
}

/**
 * Makes one request over HTTP and tells how it ended.
 * @param {string} origin
 * @param {ExampleRequest} example
 * @returns {Promise<{ status: number, outcome: string, asExpected: boolean }>}
 */
export async function make (origin, example) {
  const { isSocket = false, status, outcome = '' } = example
  const answer = isSocket ? await open(origin, example) : await ask(origin, example)
  return { ...answer, asExpected: answer.status === status && answer.outcome.startsWith(outcome) }
}

/** @param {string} origin @param {ExampleRequest} request */
async function ask (origin, { method = 'GET', path, headers = {} }) {
  const sent = request(origin + path, { method, headers }).end() // fetch() sends no Host header of one's own
  const [response] = await once(sent, 'response')
  const body = await text(response)
  return {
    status: response.statusCode,
    outcome: response.statusCode < 400 ? body.split('\n')[0] ?? '' : errorOf(JSON.parse(body))
  }
}

/**
 * @param {string} origin
 * @param {ExampleRequest} request
 * @returns {Promise<{ status: number, outcome: string }>} with the first message
 */
async function open (origin, { path, headers = {} }) {
  const client = new WebSocket(origin.replace('http', 'ws') + path, { headers })
  try {
    return await new Promise((resolve, reject) => {
      client.on('message', message => resolve({ status: 101, outcome: String(message) }))
        .on('unexpected-response', (_request, { statusCode = 0 }) => resolve({ status: statusCode, outcome: '' }))
        .on('error', reject)
    })
  } finally {
    client.terminate()
  }
}
