/** Measures contestants in turns, so that a noisy minute falls on all of them. */
import { withServer } from './servers.js'

/**
 * @typedef {import('./contestants/index.js').Contestant} Contestant
 * @typedef {import('./load.js').Sample} Sample
 * @typedef {Map<string, Map<string, Sample[]>>} Figures by figure, then by contestant, a sample each round
 * @typedef {object} Bench
 * @property {number} rounds
 * @property {number} seconds of load for one sample
 * @property {import('./access.js').Access} access
 */

/**
 * @param {Bench} bench
 * @param {Contestant[]} contestants
 * @param {import('./servers.js').ServerOptions} options
 * @param {(server: import('./servers.js').Server, contestant: Contestant) => Promise<Record<string, Sample>>} measure
 * @returns {Promise<Figures>}
 */
export async function inTurns ({ rounds, access }, contestants, options, measure) {
  const figures = new Map()
  for (let round = 0; round < rounds; round++) {
    for (const contestant of contestants) {
      const samples = await withServer(contestant.file, access.certsUrl, options, server => measure(server, contestant))
      for (const [figure, sample] of Object.entries(samples)) add(figures, figure, contestant.file, sample)
      process.stderr.write('.')
    }
  }
  process.stderr.write('\n')
  return figures
}

/** @param {Figures} figures @param {string} figure @param {string} contestant @param {Sample} sample */
function add (figures, figure, contestant, sample) {
  const byContestant = figures.get(figure) ?? new Map()
  figures.set(figure, byContestant.set(contestant, [...byContestant.get(contestant) ?? [], sample]))
}
