/** Puts requests to a server, and reads off what each of them cost it. */
import autocannon from 'autocannon'

/**
 * @typedef {Record<string, string>} Headers
 * @typedef {{ headers?: Headers, path?: string }} Request
 * @typedef {{ cpu: number, rate: number, verifications?: number }} Sample CPU microseconds a request, requests a second
 */

const CONNECTIONS = 20

/** @param {string} token @returns {Headers} */
export function bearing (token) {
  return { 'cf-access-jwt-assertion': token }
}

/**
 * Sends the requests over and over for `seconds`, or, without, once each.
 * @param {import('./servers.js').Server} server
 * @param {Request[]} requests
 * @param {{ admitted: boolean | null, seconds?: number }} options `null`: whatever the status is
 * @returns {Promise<Sample>}
 */
export async function load (server, requests, { admitted, seconds }) {
  const before = await server.ask('usage')
  const { count, elapsed } = await fire(server.port, requests, admitted, seconds)
  const after = await server.ask('usage')
  return { cpu: (after.cpu - before.cpu) / count, rate: count / elapsed }
}

/**
 * @param {number} port @param {Request[]} requests @param {boolean | null} admitted @param {number | undefined} seconds
 */
async function fire (port, requests, admitted, seconds) {
  let connection = 0
  const started = performance.now()
  let ended = started
  const running = autocannon({
    url: `http://127.0.0.1:${port}/`,
    connections: CONNECTIONS,
    ...(seconds === undefined ? { amount: requests.length } : { duration: seconds }),
    sampleInt: 100,
    // Each connection starts at the head of its list, so each gets a list of its own.
    setupClient: client => client.setRequests(share(requests, connection++))
  })
  running.on('response', () => { ended = performance.now() })
  const result = await running
  const count = result['2xx'] + result.non2xx
  const other = admitted === null ? 0 : admitted ? result.non2xx : result['2xx']
  const wrong = other + result.errors + result.timeouts
  if (wrong > 0) {
    throw new Error(
      `${wrong} of ${count} requests were not ${admitted ? 'admitted' : 'rejected'}: ${JSON.stringify(result.statusCodeStats)}`)
  }
  return { count, elapsed: (ended - started) / 1000 }
}

/** @param {Request[]} requests @param {number} connection */
function share (requests, connection) {
  return requests.length < CONNECTIONS ? requests : requests.filter((_, i) => i % CONNECTIONS === connection)
}
