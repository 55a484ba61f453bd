// Climbs to the targets that cost the most CPU for their interpretation (D-20).
import { PLAIN } from './expensive-targets.js'

/** Node takes 16 KB of headers. */
const LONGEST = 15 * 1024
const KEPT = 12

/** What grows when it is normalized, what has several forms, what has to be decoded again and again. */
const PIECES = [
  '/', '//', '.', '..', '/../', '/./', './', '/x', 'a', 'A', 'admin', '/admin', '//host', 'http://x', '@', ':', '+',
  '\\', ';', '#', '?', '/;', ';/', '%2f', '%2F', '%5c', '%3b', '%3B', '%23', '%3f', '%3F', '%2e', '%20', '%20/',
  '%00', '%09', '%09/', '%0a', '/%2f', '/%5c', '/%3b', '%3b%5c', '%23%3f%3b%00', '%', '%zz', '%ff', '%c3', '%c0%af',
  '%u0061', '%25', '%2525', '%252525', '%252e', '%25252e', '%252525252e', '%252f', '%25252f', '%2525252f', '..%25%2f',
  '%25%32%66', '%%36%31', '%%32%35', '%EF%B7%BA', '%ef%bc%8f', '%ef%bc%8e', '%ef%bc%85', '%C2%AD', '%E2%80%A6',
  '%e2%84%80', '%CC%81', '%CD%85', '%C4%B0', '%F0%9D%90%9A', '%E1%BA%9E'
]

/**
 * @typedef {object} Expensive
 * @property {string} target
 * @property {number} micros
 * @property {number} ratio to a plain target of a few segments
 */

/**
 * @param {(target: string) => unknown} interpret
 * @param {import('./random.js').Random} random
 * @param {number} milliseconds how long to search
 * @returns {Expensive[]} the dearest first
 */
export function findExpensive (interpret, random, milliseconds) {
  for (let i = 0; i < 2000; i++) interpret(PLAIN)
  const plain = costOf(interpret, PLAIN, 20)
  const end = performance.now() + milliseconds
  /** @type {Map<string, number>} the dearest of each size */
  let best = new Map(PIECES.map(piece => fit(`/${piece.repeat(40)}`)).filter(isRoutable).map(target => [target, 0]))
  for (const target of best.keys()) best.set(target, costOf(interpret, target))
  let turns = 0
  while (performance.now() < end) {
    const parents = [...best.keys()]
    const target = fit(change(random.pick(parents), random.pick(parents), random))
    if (best.has(target) || !isRoutable(target)) continue
    best.set(target, costOf(interpret, target))
    if (++turns % 50 === 0) best = keepBest(best)
  }
  return [...keepBest(best)]
    // Measured again: what was dear because the machine was busy is not dear.
    .map(([target]) => ({ target, micros: costOf(interpret, target, 9) }))
    .map(({ target, micros }) => ({ target, micros, ratio: micros / plain }))
    .sort((a, b) => b.micros - a.micros)
}

/** The dearest of each size, so that short ones are looked for as well. @param {Map<string, number>} costs */
function keepBest (costs) {
  /** @type {Map<number, [string, number][]>} */
  const bySize = new Map()
  for (const entry of costs) {
    const size = Math.ceil(Math.log2(entry[0].length))
    bySize.set(size, [...bySize.get(size) ?? [], entry])
  }
  return new Map([...bySize.values()].flatMap(entries => entries.sort(([, a], [, b]) => b - a).slice(0, KEPT)))
}

/**
 * The least of some measurements, in microseconds.
 *
 * @param {(target: string) => unknown} interpret
 * @param {string} target
 */
function costOf (interpret, target, measurements = 3) {
  let least = Infinity
  for (let i = 0; i < measurements; i++) {
    let times = 0
    const start = performance.now()
    let passed
    do {
      interpret(target)
      times++
      passed = performance.now() - start
    } while (passed < 0.5)
    least = Math.min(least, passed * 1000 / times)
  }
  return least
}

/** @param {string} target @param {string} other @param {import('./random.js').Random} random */
function change (target, other, random) {
  const at = random.below(target.length + 1)
  const piece = random.pick(PIECES)
  switch (random.below(7)) {
    case 0: return target.slice(0, at) + piece + target.slice(at)
    case 1: return target.slice(0, at) + piece.repeat(1 + random.below(200)) + target.slice(at)
    case 2: return target + target
    case 3: return target.slice(0, at) + other.slice(random.below(other.length))
    case 4: return target.slice(0, at) + target.slice(at + 1 + random.below(target.length))
    case 5: return target.replaceAll(random.pick(PIECES), piece)
    default: {
      const unit = target.slice(at, at + 1 + random.below(24)) + piece
      return `/${unit.repeat(1 + random.below(LONGEST / unit.length))}`
    }
  }
}

/** The router rejects a malformed target before any hook. @param {string} target */
function isRoutable (target) {
  try {
    decodeURIComponent(target)
    return true
  } catch {
    return false
  }
}

/** @param {string} target */
function fit (target) {
  const short = target.slice(0, LONGEST)
  return short.startsWith('/') ? short : `/${short.slice(1)}`
}
