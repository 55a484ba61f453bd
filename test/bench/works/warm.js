/** 300 people, again and again, another one each request. */
import { contestants } from '../contestants/index.js'
import { bearing, load } from '../load.js'
import { compare } from '../report.js'
import { inTurns } from '../rounds.js'

/** @param {import('../rounds.js').Bench} bench */
export async function warm (bench) {
  const headers = bench.access.tokens(300).map(bearing)
  const figures = await inTurns(bench, contestants, {},
    server => load(server, headers, { admitted: true, seconds: bench.seconds }),
    async (server, _, { seconds }) => ({ '300 people over and over': await load(server, headers, { admitted: true, seconds }) }))
  return compare('Warm: ', figures, contestants)
}
