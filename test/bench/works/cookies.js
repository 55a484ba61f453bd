/** The same users, the token the last of ten cookies. */
import { contestants } from '../contestants/index.js'
import { load } from '../load.js'
import { compare } from '../report.js'
import { inTurns } from '../rounds.js'

const OTHERS = Array.from({ length: 9 }, (_, i) => `preference_${i}=${'v'.repeat(40)}`)

/** @param {import('../rounds.js').Bench} bench */
export async function cookies (bench) {
  const requests = bench.access.tokens(300).map(
    token => ({ headers: { cookie: [...OTHERS, `CF_Authorization=${token}`].join('; ') } }))
  const figures = await inTurns(bench, contestants, { cookies: true },
    server => load(server, requests, { admitted: true, seconds: bench.seconds }),
    async (server, _, { seconds }) => ({
      'the token is the last of ten': await load(server, requests, {
        admitted: true,
        seconds
      })
    }))
  return compare('Cookies: ', figures, contestants)
}
