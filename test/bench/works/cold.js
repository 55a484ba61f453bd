/** Each request a token the server has never seen. Servers are new each round, so all are asked the same. */
import { contestants } from '../contestants/index.js'
import { bearing, load } from '../load.js'
import { compare } from '../report.js'
import { inTurns, shareOf } from '../rounds.js'

/** @param {import('../rounds.js').Bench} bench */
export async function cold (bench) {
  const count = Math.round(4000 * bench.seconds)
  const requests = bench.access.tokens(2 * count).map(token => ({ headers: bearing(token) }))
  const figures = await inTurns(bench, contestants, {},
    server => load(server, requests.slice(0, count), { admitted: true }),
    async (server, _, turn) =>
      ({ 'every token is new': await load(server, shareOf(requests.slice(count), turn), { admitted: true }) }))
  return compare('Cold: ', figures, contestants)
}
