/** Measures contestants in turns, so that a noisy minute falls on all of them. */
import { withServer } from './servers.js'

/**
 * @typedef {import('./contestants/index.js').Contestant} Contestant
 * @typedef {import('./load.js').Sample} Sample
 * @typedef {import('./servers.js').Server} Server
 * @typedef {Map<string, Map<string, Sample[]>>} Figures by figure, then by contestant, a sample each turn
 * @typedef {{ turn: number, turns: number, seconds: number }} Turn which of how many, and how long it is to take
 * @typedef {object} Bench
 * @property {number} rounds
 * @property {number} seconds of load for each contestant in each round, once it is warm
 * @property {import('./access.js').Access} access
 */

// Short, so that what is compared was measured within a few seconds.
const TURNS = 8

/**
 * In each round every contestant has a fresh server. They are warmed one after the other, and then asked in turns.
 * @param {Bench} bench
 * @param {Contestant[]} contestants
 * @param {import('./servers.js').ServerOptions} options
 * @param {(server: Server, contestant: Contestant) => Promise<unknown>} warm
 * @param {(server: Server, contestant: Contestant, turn: Turn) => Promise<Record<string, Sample>>} measure
 * @returns {Promise<Figures>}
 */
export async function inTurns ({ rounds, seconds, access }, contestants, options, warm, measure) {
  const figures = new Map()
  for (let round = 0; round < rounds; round++) {
    await withServers(contestants.map(({ file }) => file), access.certsUrl, options, async servers => {
      for (const [i, contestant] of contestants.entries()) await warm(servers[i], contestant)
      for (let turn = 0; turn < TURNS; turn++) {
        // In alternating order, so that no contestant is always first.
        const order = [...contestants.entries()]
        for (const [i, contestant] of turn % 2 === 0 ? order : order.reverse()) {
          const samples = await measure(servers[i], contestant, { turn, turns: TURNS, seconds: seconds / TURNS })
          for (const [figure, sample] of Object.entries(samples)) add(figures, figure, contestant.file, sample)
        }
        process.stderr.write('.')
      }
    })
  }
  process.stderr.write('\n')
  return figures
}

/**
 * The part of a list that is a turn's, for what may be used once.
 * @template T
 * @param {T[]} list
 * @param {Turn} turn
 */
export function shareOf (list, { turn, turns }) {
  return list.slice(list.length * turn / turns, list.length * (turn + 1) / turns)
}

/**
 * @template T
 * @param {string[]} files
 * @param {string} certsUrl
 * @param {import('./servers.js').ServerOptions} options
 * @param {(servers: Server[]) => Promise<T>} use
 * @param {Server[]} [running]
 * @returns {Promise<T>}
 */
async function withServers ([file, ...others], certsUrl, options, use, running = []) {
  if (file === undefined) return use(running)
  return withServer(file, certsUrl, options,
    server => withServers(others, certsUrl, options, use, [...running, server]))
}

/** @param {Figures} figures @param {string} figure @param {string} contestant @param {Sample} sample */
function add (figures, figure, contestant, sample) {
  const byContestant = figures.get(figure) ?? new Map()
  figures.set(figure, byContestant.set(contestant, [...byContestant.get(contestant) ?? [], sample]))
}
