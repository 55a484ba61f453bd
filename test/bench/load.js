/** Puts requests to a server, and reads off what each of them cost it. */
import autocannon from 'autocannon'

/**
 * @typedef {Record<string, string>} Headers
 * @typedef {{ cpu: number, rate: number, verifications?: number }} Sample CPU microseconds a request, requests a second
 */

const CONNECTIONS = 20

/** @param {string} token @returns {Headers} */
export function bearing (token) {
  return { 'cf-access-jwt-assertion': token }
}

/**
 * Asks over and over for `seconds`, or, without, once with each of the headers.
 * @param {import('./servers.js').Server} server
 * @param {Headers[]} headers a request each
 * @param {{ admitted: boolean, seconds?: number }} options
 * @returns {Promise<Sample>}
 */
export async function load (server, headers, { admitted, seconds }) {
  const before = await server.ask('usage')
  const { count, elapsed } = await fire(server.port, headers, admitted, seconds)
  const after = await server.ask('usage')
  return { cpu: (after.cpu - before.cpu) / count, rate: count / elapsed }
}

/** @param {number} port @param {Headers[]} headers @param {boolean} admitted @param {number | undefined} seconds */
async function fire (port, headers, admitted, seconds) {
  let connection = 0
  const started = performance.now()
  let ended = started
  const running = autocannon({
    url: `http://127.0.0.1:${port}/`,
    connections: CONNECTIONS,
    ...(seconds === undefined ? { amount: headers.length } : { duration: seconds }),
    sampleInt: 100,
    // Each connection starts at the head of its list, so each gets a list of its own.
    setupClient: client => client.setRequests(share(headers, connection++).map(headers => ({ headers })))
  })
  running.on('response', () => { ended = performance.now() })
  const result = await running
  const count = result['2xx'] + result.non2xx
  const wrong = (admitted ? result.non2xx : result['2xx']) + result.errors + result.timeouts
  if (wrong > 0) throw new Error(`${wrong} of ${count} requests were not ${admitted ? 'admitted' : 'refused'}: ${JSON.stringify(result.statusCodeStats)}`)
  return { count, elapsed: (ended - started) / 1000 }
}

/** @param {Headers[]} headers @param {number} connection */
function share (headers, connection) {
  return headers.filter((_, i) => i % CONNECTIONS === connection)
}
