// Puts small faults into the library, one at a time, and counts those that a test notices. Not part of `npm test`.
// `npm run test:mutation -- guard lib/policy/policy.ts` takes only some subjects or files. Ends with 1 below 95 %.
// MUTATION_SCORE can be set to another percentage, MUTATION_WORKERS to another number than that of the processors.
import { readFile, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { makeKeys } from '../fixtures/make-keys.js'
import { mutantsOf } from './mutants.js'
import { subjects } from './subjects.js'
import { compilable } from './types.js'
import { filesIn, Workplace } from './workplace.js'

/** @typedef {import('./mutants.js').Mutant} Mutant */
/**
 * @typedef {{ file: string, before: string, after?: string, reason: string }} Equivalent without `after`: all mutants
 * of these lines
 */
/** @typedef {{ file: string, tests: string[] }} Source */
/** @typedef {Source & { mutants: Mutant[], survivors: Mutant[], killed: number, timedOut: number }} Result */

const root = resolve(import.meta.dirname, '..', '..')
const wantedScore = Number(process.env['MUTATION_SCORE'] ?? 95)
const workers = Number(process.env['MUTATION_WORKERS'] ?? availableParallelism())
// How many times as long as without a fault a test may take, and the least in milliseconds.
const PATIENCE = 4
const LEAST_PATIENCE = 3000

const started = performance.now()
/** @type {Equivalent[]} */
const equivalents = JSON.parse(await readFile(join(import.meta.dirname, 'equivalent.json'), 'utf8'))
const unused = new Set(equivalents)
/** @type {Map<string, number>} the longest that each test took without a fault, in milliseconds */
const durations = new Map()
const sources = await wantedSources(process.argv.slice(2))
const results = await prepare(sources)
const keys = await makeKeys()
const workplaces = await Promise.all(Array.from({ length: workers }, () => Workplace.create(root, keys)))
process.once('exit', () => workplaces.forEach(workplace => workplace.remove()))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
await testAll(results)
process.exitCode = report()

/** @param {readonly string[]} wanted subjects or files, all when empty @returns {Promise<Source[]>} */
async function wantedSources (wanted) {
  const all = await filesIn(join(root, 'test')).then(files => files.filter(file => file.endsWith('.test.ts')))
  const found = []
  for (const [subject, { sources, tests }] of Object.entries(subjects)) {
    const paths = tests.map(name => {
      const file = `${name}.test.ts`
      if (!all.includes(file)) throw new Error(`test/mutation/subjects.js names a test that is not there: ${name}`)
      return join('test', file)
    })
    for (const source of sources) {
      for (const file of await expand(source)) {
        if (wanted.length > 0 && !wanted.includes(subject) && !wanted.includes(file)) continue
        // The module's own test goes first.
        const own = file.replace(/^lib(.*)\.ts$/, 'test$1.test.ts')
        found.push({ file, tests: [...paths.filter(path => path === own), ...paths.filter(path => path !== own)] })
      }
    }
  }
  if (found.length === 0) throw new Error(`Nothing to mutate. Subjects are ${Object.keys(subjects).join(', ')}.`)
  return found
}

/** @param {string} source a file, or a folder with files in it @returns {Promise<string[]>} */
async function expand (source) {
  if ((await stat(join(root, source))).isFile()) return [source]
  return (await filesIn(join(root, source))).filter(file => file.endsWith('.ts')).map(file => join(source, file)).sort()
}

/** @param {readonly Source[]} sources @returns {Promise<Result[]>} */
async function prepare (sources) {
  const results = []
  for (const source of sources) {
    const all = mutantsOf(source.file, await readFile(join(root, source.file), 'utf8'))
    const valid = compilable(root, source.file, all)
    const mutants = valid.filter(mutant => !isEquivalent(mutant))
    console.log(
      `${source.file}: ${mutants.length} mutants, not counting ${all.length - valid.length} that do not compile and ${valid.length - mutants.length} that change nothing`)
    results.push({ ...source, mutants, survivors: [], killed: 0, timedOut: 0 })
  }
  return results
}

/** @param {Mutant} mutant */
function isEquivalent ({ file, before, after }) {
  const known =
    equivalents.find(other => other.file === file && other.before === before && (other.after ?? after) === after)
  if (known !== undefined) unused.delete(known)
  return known !== undefined
}

/** @param {string} test @param {Workplace} workplace without a fault */
async function measure (test, workplace) {
  const from = performance.now()
  const outcome = await workplace.run(test, 600_000)
  if (outcome !== 'passed') throw new Error(`${test}, without any fault put in, ${outcome}`)
  durations.set(test, Math.max(durations.get(test) ?? 0, performance.now() - from))
}

/** @param {string} test */
function patienceWith (test) {
  return Math.max(LEAST_PATIENCE, PATIENCE * (durations.get(test) ?? 0))
}

/** @param {readonly Result[]} results */
async function testAll (results) {
  for (const result of results) {
    const { file, mutants } = result
    const from = performance.now()
    const original = await readFile(join(root, file), 'utf8')
    // Neighbours tend to die by the same test, so the last to kill goes first.
    const tests = [...result.tests]
    await share(mutants, async (mutant, workplace) => {
      const outcome = await testOne(mutant, original, tests, workplace)
      if (outcome === 'timed out') result.timedOut++
      if (outcome !== 'passed') {
        result.killed++
      } else {
        result.survivors.push(mutant)
        announce(mutant)
      }
    })
    await Promise.all(workplaces.map(workplace => workplace.write(file, original)))
    console.log(`${file}: ${result.killed} of ${mutants.length} in ${secondsSince(from)} s\n`)
  }
}

/** Prints a survivor at once, so that a run that is cut short has not been in vain. @param {Mutant} mutant */
function announce ({ file, line, before, after }) {
  console.log(`Survived: ${file}:${line}\n${indent('-', before)}\n${indent('+', after)}`)
}

/** @param {Mutant} mutant @param {string} original @param {string[]} tests @param {Workplace} workplace */
async function testOne ({ file, text }, original, tests, workplace) {
  const measureAgain = async (/** @type {string} */ test) => {
    await workplace.write(file, original)
    await measure(test, workplace)
    await workplace.write(file, text)
  }
  await workplace.write(file, text)
  for (const test of [...tests]) {
    if (!durations.has(test)) await measureAgain(test)
    const patience = patienceWith(test)
    let outcome = await workplace.run(test, patience)
    if (outcome === 'timed out') {
      // Or has the machine become busier?
      await measureAgain(test)
      if (patienceWith(test) > patience) outcome = await workplace.run(test, patienceWith(test))
    }
    if (outcome === 'passed') continue
    tests.splice(tests.indexOf(test), 1)
    tests.unshift(test)
    return outcome
  }
  return 'passed'
}

/**
 * Each worker takes the next of the list when it is done with one.
 * @template Item
 * @param {readonly Item[]} items
 * @param {(item: Item, workplace: Workplace) => Promise<void>} work
 */
async function share (items, work) {
  const queue = items.values()
  await Promise.all(workplaces.map(async workplace => {
    for (const item of queue) await work(item, workplace)
  }))
}

/** @returns {number} the exit code */
function report () {
  console.log('\nkilled  timed out  survived    score')
  for (const { file, killed, timedOut, survivors } of [...results, total()]) {
    const columns = [[killed, 6], [timedOut, 11], [survivors.length, 10],
      [`${scoreOf(killed, survivors.length).toFixed(1)} %`, 9]]
    console.log(`${columns.map(([value, width]) => String(value).padStart(Number(width))).join('')}  ${file}`)
  }
  const stale = [...unused].filter(({ file }) => results.some(result => result.file === file))
  for (const { file, before } of stale) {
    console.log(`equivalent.json has a mutant that is not made any longer, in ${file}: ${before}`)
  }
  const score = scoreOf(total().killed, total().survivors.length)
  console.log(`${workers} workers took ${secondsSince(started)} s.`)
  return score < wantedScore || stale.length > 0 ? 1 : 0
}

function total () {
  return {
    file: 'in all',
    killed: results.reduce((sum, { killed }) => sum + killed, 0),
    timedOut: results.reduce((sum, { timedOut }) => sum + timedOut, 0),
    survivors: results.flatMap(({ survivors }) => survivors)
  }
}

/** @param {number} killed @param {number} survived */
function scoreOf (killed, survived) {
  return killed + survived === 0 ? 100 : 100 * killed / (killed + survived)
}

/** @param {string} mark @param {string} lines */
function indent (mark, lines) {
  return lines.split('\n').map(line => `  ${mark} ${line}`).join('\n')
}

/** @param {number} from */
function secondsSince (from) {
  return Math.round((performance.now() - from) / 1000)
}
