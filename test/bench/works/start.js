/**
 * What importing, registering and listening add to the CPU time that Fastify's own import and listen take, in new
 * processes. The key endpoint never answers: the keys are fetched after the start.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, table } from '../report.js'

const run = promisify(execFile)
const TIMES = 5

/** @param {import('../rounds.js').Bench} bench */
export async function start ({ rounds }) {
  const pairs = []
  for (let i = 0; i < rounds * TIMES; i++) {
    pairs.push({ without: await cpuTime('without'), with: await cpuTime('with') })
    process.stderr.write('.')
  }
  process.stderr.write('\n')
  const of = (/** @type {(pair: { without: number, with: number }) => number} */ read) => median(pairs.map(read))
  return table(`Start: CPU of import, register and listen, ${pairs.length} pairs, medians`,
    ['Fastify alone, ms', 'with the plugin, ms', 'ratio'],
    [[of(pair => pair.without).toFixed(0), of(pair => pair.with).toFixed(0),
      of(pair => pair.with / pair.without).toFixed(2)]])
}

/** @param {string} plugin */
async function cpuTime (plugin) {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'start-child.js'), plugin])
  return Number(stdout)
}
