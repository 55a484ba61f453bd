// How often a fleet of processes fetches the keys of a team: simulated, with the key sets of the library and a clock
// that the simulation moves. Each process gets one request a second. `npm run soak:fetches`.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { KeySet } from '../../lib/keys/key-set.js'
import { createAccessTeam } from '../../lib/testing/index.js'

const HOUR = 3600
/** The defaults, in milliseconds. */
const TIMES = { maxAge: 3_600_000, maxStale: 86_400_000, cooldown: 30_000, timeout: 5000 }

const team = await createAccessTeam()
let isDown = false
let fetches = 0
let now = Math.floor(Date.now() / 1000) * 1000
Date.now = () => now

/** One process, which shares nothing with the others. */
class Process {
  #keySet = new KeySet({
    url: 'http://127.0.0.1/cdn-cgi/access/certs',
    fetch: async () => {
      fetches++
      if (isDown) throw new Error('down')
      return new Response(JSON.stringify(team.certs))
    },
    times: TIMES,
    initial: null
  })

  /** A request whose token names the newest key. */
  request () {
    this.#keySet.prepare(String(team.certs.keys[0]?.['kid']))
  }

  /** Whether a fetch has ended in this second. */
  get isDone () {
    const { lastSuccess, lastFailure } = this.#keySet.status()
    return lastSuccess === now || lastFailure?.at === now
  }
}

/** @typedef {{ name: string, seconds: number, at?: (second: number) => void | Promise<void> }} Scenario */

/** @type {readonly Scenario[]} */
const SCENARIOS = [
  { name: 'the start', seconds: 1 },
  { name: 'three hours of peace', seconds: 3 * HOUR },
  { name: 'an hour, a rotation', seconds: HOUR, at: async second => { if (second === HOUR / 2) await team.rotateKeys() } },
  { name: 'an hour of outage', seconds: HOUR, at: () => { isDown = true } },
  { name: 'the hour after it', seconds: HOUR, at: () => { isDown = false } }
]

console.log('processes  scenario               fetches of a process  most in a second, of the fleet')
for (const count of [1, 10, 1000]) {
  const fleet = Array.from({ length: count }, () => new Process())
  for (const scenario of SCENARIOS) {
    const { total, most } = await play(scenario, fleet)
    const perProcess = (total / count).toFixed(1)
    console.log([String(count).padStart(9), `  ${scenario.name.padEnd(21)}`, perProcess.padStart(22),
      `${(100 * most / count).toFixed(1)} %`.padStart(31)].join(''))
  }
}
await team.close()

/** @param {Scenario} scenario @param {readonly Process[]} fleet */
async function play ({ seconds, at }, fleet) {
  let total = 0
  let most = 0
  for (let second = 0; second < seconds; second++) {
    await at?.(second)
    const before = fetches
    for (const process of fleet) process.request()
    await nextTurn() // a fetch for an unknown key starts a moment later
    const started = fetches - before
    const isSettled = () => started === 0 || fleet.filter(process => process.isDone).length >= started
    while (!isSettled()) await nextTurn()
    total += started
    most = Math.max(most, started)
    now += 1000
  }
  return { total, most }
}
