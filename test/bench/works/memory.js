/**
 * The heap under more and more distinct tokens, all valid and all brought by requests. They are
 * signed in portions, each forgotten here once it is sent. Signing them takes most of the time (some
 * 3,000 a second), so the default stops early; BENCH_TOKENS=1000000 takes a quarter of an hour.
 */
import { ours } from '../contestants/index.js'
import { bearing, load } from '../load.js'
import { table } from '../report.js'
import { withServer } from '../servers.js'

const PORTION = 10_000
const MIB = 2 ** 20

/** @param {import('../rounds.js').Bench} bench */
export async function memory ({ access }) {
  const portions = Number(process.env.BENCH_TOKENS ?? 50_000) / PORTION
  const heaps = await withServer(ours.file, access.certsUrl, {}, async server => {
    const bring = (/** @type {string[]} */ tokens) =>
      load(server, tokens.map(token => ({ headers: bearing(token) })), { admitted: true })
    const [one] = access.tokens(1)
    await bring(Array(PORTION).fill(one)) // so that the code is compiled and the connections were there
    const heaps = [{ tokens: 1, heap: (await server.ask('heap')).heap }]
    for (let portion = 1; portion <= portions; portion++) {
      await bring(access.tokens(PORTION))
      heaps.push({ tokens: portion * PORTION, heap: (await server.ask('heap')).heap })
      process.stderr.write('.')
    }
    return heaps
  })
  process.stderr.write('\n')
  const rows = shown(heaps).map(({ tokens, heap }) =>
    [tokens.toLocaleString('en'), (heap / MIB).toFixed(1), ((heap - heaps[0].heap) / MIB).toFixed(1)])
  return table('Memory: distinct valid tokens, 10,000 of them remembered',
    ['tokens so far', 'heap after gc, MiB', 'over the first, MiB'], rows)
}

/** @template T @param {T[]} heaps @returns {T[]} the first ones, ten steps between, and the last */
function shown (heaps) {
  const step = Math.ceil(heaps.length / 10)
  return heaps.filter((_, i) => i < 3 || i % step === 0 || i === heaps.length - 1)
}
