/** The guard alone, without a server around it, in processes of their own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, table } from '../report.js'

const run = promisify(execFile)

/** @param {import('../rounds.js').Bench} bench */
export async function guard ({ rounds }) {
  const samples = {}
  for (let round = 0; round < rounds; round++) {
    const { stdout } = await run(process.execPath, ['--expose-gc', join(import.meta.dirname, 'guard-child.js')])
    for (const [name, nanoseconds] of Object.entries(JSON.parse(stdout))) (samples[name] ??= []).push(nanoseconds)
    process.stderr.write('.')
  }
  process.stderr.write('\n')
  const lookup = samples['one Map lookup']
  const rows = Object.entries(samples).map(([name, times]) =>
    [name, median(times).toFixed(0), Math.min(...times).toFixed(0), median(times.map((time, i) => time / lookup[i])).toFixed(2)])
  return table('The guard alone: coverage, cache and identity for a remembered token',
    ['', 'ns, median', 'best', '× Map lookup'], rows)
}
