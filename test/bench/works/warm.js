/** 300 users, again and again, another one each request. */
import { contestants } from '../contestants/index.js'
import { bearing, load } from '../load.js'
import { compare } from '../report.js'
import { inTurns } from '../rounds.js'

/** @param {import('../rounds.js').Bench} bench */
export async function warm (bench) {
  const requests = bench.access.tokens(300).map(token => ({ headers: bearing(token) }))
  const figures = await inTurns(bench, contestants, {},
    server => load(server, requests, { admitted: true, seconds: bench.seconds }),
    async (server, _, { seconds }) => ({
      '300 users over and over': await load(server, requests, {
        admitted: true,
        seconds
      })
    }))
  return compare('Warm: ', figures, contestants)
}
