/** The request targets that cost the most to interpret, beside a plain one, each on the same wildcard route. */
import { EXPENSIVE, PLAIN } from '../../fuzz/expensive-targets.js'
import { load } from '../load.js'
import { median, table } from '../report.js'
import { withServer } from '../servers.js'

const SHOWN = 5

/** @param {import('../rounds.js').Bench} bench */
export async function targets ({ rounds, seconds, access }) {
  const rows = await withServer('wildcard', access.certsUrl, {}, async server => {
    const costOf = async (/** @type {string} */ path) =>
      (await load(server, [{ path }], { admitted: null, seconds: seconds / 5 })).cpu
    await load(server, [{ path: PLAIN }], { admitted: null, seconds })
    /** @type {number[][]} */
    const ratios = EXPENSIVE.map(() => [])
    for (let round = 0; round < rounds; round++) {
      for (const [i, target] of EXPENSIVE.entries()) ratios[i].push(await costOf(target) / await costOf(PLAIN))
      process.stderr.write('.')
    }
    return EXPENSIVE.map((target, i) => ({ target, ratio: median(ratios[i]) })).sort((a, b) => b.ratio - a.ratio)
  })
  process.stderr.write('\n')
  return table(`Targets: CPU of a whole request, over one for a plain target; the worst ${SHOWN} of ${rows.length}`,
    ['', '× plain request, median'],
    rows.slice(0, SHOWN).map(
      ({ target, ratio }) => [`\`${shorten(target)}\`, ${target.length} characters`, ratio.toFixed(1)]))
}

/** @param {string} target */
function shorten (target) {
  return target.length > 40 ? `${target.slice(0, 40)}…` : target
}
