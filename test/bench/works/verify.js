/** A verification by itself, without a server around it, in processes of their own; and what forged tokens delay. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, table } from '../report.js'

const run = promisify(execFile)

/** @param {import('../rounds.js').Bench} bench */
export async function verify ({ rounds }) {
  const samples = []
  for (let round = 0; round < rounds; round++) {
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'verify-child.js')])
    samples.push(JSON.parse(stdout))
    process.stderr.write('.')
  }
  process.stderr.write('\n')
  const medianOf = (/** @type {(sample: any) => number} */ read) => median(samples.map(read))
  const cold = (/** @type {string} */ name) => (/** @type {any} */ sample) => median(sample.cold[name])
  const verification = table('A new token, verified in process',
    ['', 'CPU µs, median', 'ratio'],
    ['plugin', 'jose'].map(name => [name, medianOf(cold(name)).toFixed(1),
      medianOf(sample => cold(name)(sample) / cold('jose')(sample)).toFixed(2)]))
  const forgeries = table('A file read while 1,000 forged signatures are in flight',
    ['', 'ms until it is read, median', 'CPU ms of the forgeries', 'ratio'],
    ['plugin', 'jose'].map(name => [name, medianOf(({ beside }) => beside[name].delay).toFixed(0),
      medianOf(({ beside }) => beside[name].cpu).toFixed(0),
      medianOf(({ beside }) => beside[name].delay / beside[name].cpu).toFixed(2)]))
  return `${verification}\n${forgeries}`
}
