/**
 * What importing and registering add to the start of an application that has Fastify and jose
 * loaded. Node loads its `fetch` when it is first called, which the plugin does at the start; so
 * once for applications that have called it before, and once for those that have not.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, table } from '../report.js'

const run = promisify(execFile)
const TIMES = 7

/** @param {import('../rounds.js').Bench} bench */
export async function start ({ rounds }) {
  const samples = { 'fetch was used before': [], 'fetch was not': [] }
  for (let i = 0; i < rounds * TIMES; i++) {
    for (const [fetch, pairs] of Object.entries(samples)) {
      pairs.push({ without: await time('without', fetch), with: await time('with', fetch) })
    }
    process.stderr.write('.')
  }
  process.stderr.write('\n')
  const rows = Object.entries(samples).map(([fetch, pairs]) => {
    const added = pairs.map(pair => pair.with - pair.without)
    return [fetch, ...['without', 'with'].map(how => median(pairs.map(pair => pair[how])).toFixed(1)),
      median(added).toFixed(1), Math.min(...added).toFixed(1)]
  })
  return table('Start: import, register and listen, while the key endpoint never answers',
    ['', 'without the plugin, ms, median', 'with', 'added', 'least added'], rows)
}

/** @param {string} plugin @param {string} fetch */
async function time (plugin, fetch) {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'start-child.js'), plugin, fetch])
  return Number(stdout)
}
