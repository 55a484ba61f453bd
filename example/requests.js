// The requests a newcomer would make, and what each must come to.

/**
 * @typedef {object} ExampleRequest
 * @property {string} who
 * @property {string} [method]
 * @property {string} path
 * @property {Record<string, string>} [headers]
 * @property {number} status
 * @property {string} [outcome] the error's code, or how the body begins
 */

/**
 * @param {import('fastify-cf-access/testing').AccessTeam} team
 * @param {import('fastify-cf-access/testing').AccessTeam} strangers another team, whose tokens mean nothing here
 * @param {string} audience
 * @returns {ExampleRequest[]}
 */
export function createRequests (team, strangers, audience) {
  const alice = team.userToken({ email: 'alice@example.com', audience, identity: { groups: ['staff'] } })
  const clerk = team.userToken({ email: 'clerk@example.com', audience, identity: { groups: ['staff', 'billing'] } })
  const guest = team.userToken({ email: 'guest@elsewhere.example', audience })
  const robot = team.serviceToken({ clientId: 'e367826f93b8d71185e03fe518aff3b4.access', audience })
  const stranger = strangers.userToken({ email: 'alice@example.com', audience })
  const expired = team.userToken({ email: 'alice@example.com', audience, expiresIn: '-1m' })

  return [
    { who: 'no token', path: '/', status: 200, outcome: 'Anyone' },
    { who: 'no token', path: '/admin', status: 401, outcome: 'FST_CF_ACCESS_TOKEN_MISSING' },
    { who: 'no token', path: '/admin/unknown', status: 401, outcome: 'FST_CF_ACCESS_TOKEN_MISSING' },
    { who: 'no token', path: '/admin/health', status: 200, outcome: 'ok' },
    { who: 'alice, by cookie', path: '/admin', headers: { cookie: `CF_Authorization=${alice}` }, status: 200, outcome: 'Hello alice@example.com' },
    { who: 'alice, by header', path: '/admin', headers: bearing(alice), status: 200, outcome: 'Hello alice@example.com' },
    { who: 'alice', path: '/admin/unknown', headers: bearing(alice), status: 404, outcome: 'There is no such page' },
    { who: 'a clerk', path: '/admin/billing', headers: bearing(clerk), status: 200, outcome: 'The books' },
    { who: 'alice', path: '/admin/billing', headers: bearing(alice), status: 403, outcome: 'FST_CF_ACCESS_FORBIDDEN' },
    { who: 'no token', path: '/ready', status: 200, outcome: '{"state":"fresh"' },
    { who: 'alice', path: '/reports', headers: bearing(alice), status: 200, outcome: 'Our own users' },
    { who: 'a guest', path: '/reports', headers: bearing(guest), status: 403, outcome: 'FST_CF_ACCESS_FORBIDDEN' },
    { who: 'a service', method: 'POST', path: '/deploy', headers: bearing(robot), status: 200, outcome: 'Deployed for e367826f' },
    { who: 'alice', method: 'POST', path: '/deploy', headers: bearing(alice), status: 403, outcome: 'FST_CF_ACCESS_FORBIDDEN' },
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
 * @param {ExampleRequest} request
 * @returns {Promise<{ status: number, outcome: string, asExpected: boolean }>}
 */
export async function make (origin, { method = 'GET', path, headers = {}, status, outcome = '' }) {
  const response = await fetch(origin + path, { method, headers })
  const body = await response.text()
  const answer = response.ok ? body.split('\n')[0] ?? '' : errorOf(JSON.parse(body))
  return {
    status: response.status,
    outcome: answer,
    asExpected: response.status === status && answer.startsWith(outcome)
  }
}
