// Looks for targets that come past a prefix: `npm run fuzz -- 1000000`. Or, for a minute, for those that cost the most:
// `npm run fuzz -- expensive 60`.
// FUZZ_SEED repeats a run. Ends with 1 when there was a leak.
import { createAccessTeam } from '../../lib/testing/index.js'
import { findExpensive } from './expensive.js'
import { createPureCheck, shrink } from './pure.js'
import { Random } from './random.js'
import { checkOverSockets } from './socket.js'
import { cfAccess, possiblePaths, prefixOf } from './subject.js'
import { harmless, hostile } from './targets.js'

const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1e9)
const SHRUNK = 300
const SHOWN = 40

/** @typedef {{ kind: string, example: string, origin: string }} Leak */

const [first = '100000', second = '60'] = process.argv.slice(2)
console.log(`FUZZ_SEED=${SEED}`)
if (first === 'expensive') {
  const found = findExpensive(possiblePaths, new Random(SEED), Number(second) * 1000)
  for (const { target, ratio, micros } of found.filter(({ target }) => target.length > 16).slice(0, SHOWN)) {
    const numbers = `${micros.toFixed(0)} us, ${ratio.toFixed(0)} times a plain target, ${target.length} characters`
    console.log(`${numbers}: ${target.slice(0, 300)}`)
  }
} else {
  const pureLeaks = fuzzPure(Number(first))
  const socketLeaks = await fuzzSockets(Math.ceil(Number(first) / 100))
  process.exitCode = pureLeaks + socketLeaks === 0 ? 0 : 1
}

/** @param {number} count */
function fuzzPure (count) {
  const random = new Random(SEED)
  const check = createPureCheck({ possiblePaths, prefixOf })
  const start = process.cpuUsage()
  /** @type {Leak[]} */
  const leaks = []
  let secrets = 0
  let leaked = 0
  let closed = 0
  for (let i = 0; i < count; i++) {
    const isHarmless = i % 16 === 15
    const target = isHarmless ? harmless(random) : hostile(random)
    const choice = random.chance(0.2) ? random.below(1000) : 0
    const { sent, isGuarded, findReader } = check(target, choice)
    const reader = findReader()
    const guarded = isGuarded()
    if (isHarmless && choice === 0 && guarded) closed++
    if (reader === null) continue
    secrets++
    if (guarded) continue
    leaked++
    if (leaks.length === SHRUNK) continue
    const small = shrink(target, shorter => {
      const tried = check(shorter, choice)
      return !tried.isGuarded() && tried.findReader() !== null
    })
    const tried = check(small, choice)
    leaks.push({ kind: String(tried.findReader()), example: tried.sent, origin: `from ${sent}` })
  }
  const seconds = process.cpuUsage(start).user / 1e6
  const numbers = `${count} targets, ${secrets} secrets, ${leaked} leaks, ${closed} harmless ones guarded`
  console.log(`pure: ${numbers}, ${seconds.toFixed(1)} s of CPU`)
  printKinds(leaks)
  return leaked
}

/** @param {readonly Leak[]} leaks */
function printKinds (leaks) {
  /** @type {Map<string, Leak[]>} */
  const kinds = new Map()
  for (const leak of leaks) kinds.set(leak.kind, [...kinds.get(leak.kind) ?? [], leak])
  const common = [...kinds].sort(([, a], [, b]) => b.length - a.length)
  if (leaks.length > 0) console.log(`the first ${leaks.length} leaks, made as short as they go: ${kinds.size} kinds`)
  for (const [kind, [leak, ...more]] of common.slice(0, SHOWN)) {
    console.log(`${String(more.length + 1).padStart(5)}  ${kind}\n       ${leak?.example}\n       ${leak?.origin}`)
  }
}

/** @param {number} count */
async function fuzzSockets (count) {
  const team = await createAccessTeam()
  try {
    const [audienceOfA, audienceOfB] = ['a'.repeat(64), 'b'.repeat(64)]
    const start = performance.now()
    const { targets, secrets, leaks, silent } = await checkOverSockets({
      random: new Random(SEED),
      count,
      guards: { a: registerFor(team.domain, audienceOfA), b: registerFor(team.domain, audienceOfB) },
      tokenOfB: { 'cf-access-jwt-assertion': team.userToken({ email: 'b@acme.com', audience: audienceOfB }) }
    })
    const seconds = (performance.now() - start) / 1000
    console.log(`sockets: ${targets} targets, ${secrets} secrets, ${leaks.length} leaks, ${seconds.toFixed(1)} s`)
    if (silent.length > 0) console.log(`nothing was handed out by: ${silent.join('; ')}`)
    printKinds(leaks.map(({ site, who, status, reader, target }) => (
      { kind: `${site}: ${status} to ${who}`, example: target, origin: reader }
    )))
    return leaks.length
  } finally {
    await team.close()
  }
}

/** @param {string} teamDomain @param {string} audience @returns {import('./sites.js').Register} */
function registerFor (teamDomain, audience) {
  return async (scope, prefix) => {
    await scope.register(cfAccess, { teamDomain, audience, ...(prefix === undefined ? {} : { prefix }) })
  }
}
