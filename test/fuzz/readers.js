// Every reader that has up to three habits, in every order.
import { HABITS } from './habits.js'

/** @typedef {readonly [name: string, text: string]} Start what a handler has in its hands before it reads */
/** @typedef {(text: string) => boolean} Landing whether a reading is the path that has to be guarded */

/** The prefix itself or below it. @param {string} prefix @returns {Landing} */
export function under (prefix) {
  const below = `${prefix}/`
  return text => text === prefix || text.startsWith(below)
}

/**
 * How a reader comes from one of the starts to a path that has to be guarded: the shortest sequence of habits.
 *
 * @param {Iterable<Start>} starts
 * @param {Landing} isLanding
 * @returns {string | null} such as `wildcard > decode > posix.normalize`; null where no reader does
 */
export function findReader (starts, isLanding, depth = 3) {
  /** @type {string[]} */
  const texts = []
  /** @type {string[]} how each text was reached, only spelled out when it is asked for */
  const steps = []
  /** @type {number[]} */
  const origins = []
  const seen = new Set()
  const spell = (/** @type {number} */ i) => {
    const names = []
    for (let at = i; at >= 0; at = /** @type {number} */ (origins[at])) names.unshift(steps[at])
    return names.join(' > ')
  }
  for (const [name, text] of starts) {
    if (isLanding(text)) return name
    if (seen.has(text)) continue
    seen.add(text)
    texts.push(text)
    steps.push(name)
    origins.push(-1)
  }
  let from = 0
  for (let level = 1; level <= depth; level++) {
    const isLast = level === depth
    const end = texts.length
    for (; from < end; from++) {
      const text = /** @type {string} */ (texts[from])
      if (isHopeless(text)) continue
      for (const [name, habit] of HABITS) {
        const read = habit(text)
        if (read === text) continue
        if (isLanding(read)) return `${spell(from)} > ${name}`
        if (isLast || seen.has(read)) continue
        seen.add(read)
        texts.push(read)
        steps.push(name)
        origins.push(from)
      }
    }
  }
  return null
}

/** No habit joins letters that something visible parts: what is spelled plainly is there. @param {string} text */
function isHopeless (text) {
  return !text.includes('admin') && !/[^ -$&-@[-~]/.test(text)
}

const AUTHORITY = /^(?:[a-z][a-z\d+.-]*:)?\/\/[^/]*/i

/**
 * What handlers have in their hands for this target. What follows `?` as it was sent is a query to all of them.
 *
 * @param {string} target
 * @returns {Start[]}
 */
export function startsOf (target) {
  const raw = withoutQuery(target)
  /** @type {Start[]} */
  const starts = [['raw', raw], ['without authority', raw.replace(AUTHORITY, '')]]
  // find-my-way before 9.9 took the authority off before it cut the query.
  const old = withoutQuery(target.replace(/^https?:\/\/.*?\//i, '/'))
  starts.push(['without authority, then without query', old])
  // The router knows two schemes, skips the first character, cuts at `#` and decodes once; a malformed target reaches
  // no handler. Parameters joined read the same.
  const path = raw.replace(/^https?:\/\/[^/]+/i, '')
  const routed = decoded(`/${cut(path.slice(1), '#')}`)
  if (routed !== null) starts.push(['wildcard', routed])
  return starts
}

/**
 * What a handler has in a scope whose prefix is one segment: the wildcard behind that segment.
 *
 * @param {string} target
 * @returns {Start[]}
 */
export function scopedStartsOf (target) {
  const [, rest] = /^\/[^/]+(\/.*)$/.exec(cut(withoutQuery(target), '#')) ?? []
  const routed = rest === undefined ? null : decoded(rest)
  return routed === null ? [] : [['wildcard in the scope', routed]]
}

/** @param {string} target */
function withoutQuery (target) {
  return cut(target, '?')
}

/** @param {string} text @param {string} delimiter */
function cut (text, delimiter) {
  const at = text.indexOf(delimiter)
  return at === -1 ? text : text.slice(0, at)
}

/** @param {string} text */
function decoded (text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
