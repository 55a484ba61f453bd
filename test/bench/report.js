/** Figures into Markdown. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** @param {number[]} values */
export function median (values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * One table a figure. Ratios are to the contestant's own baseline in the same turn.
 * @param {string} title
 * @param {import('./rounds.js').Figures} figures
 * @param {import('./contestants/index.js').Contestant[]} contestants
 */
export function compare (title, figures, contestants) {
  return [...figures].map(([figure, samples]) => {
    const counted = [...samples.values()].flat().some(({ verifications }) => verifications !== undefined)
    const heads = ['', 'CPU µs a request, median', 'best', '× open route, median', 'best to best', 'added µs',
      'requests/s, median', 'best', ...counted ? ['verifications'] : []]
    return table(`${title}${figure}`, heads, contestants.map(contestant => row(contestant, samples, counted)))
  }).join('\n')
}

/**
 * @param {import('./contestants/index.js').Contestant} contestant
 * @param {Map<string, import('./load.js').Sample[]>} samples
 * @param {boolean} counted
 */
function row ({ file, title, baseline }, samples, counted) {
  const own = samples.get(file) ?? []
  const open = samples.get(baseline) ?? []
  const cpu = own.map(sample => sample.cpu)
  const rate = own.map(sample => sample.rate)
  const times = median(own.map((sample, i) => sample.cpu / open[i].cpu))
  const toBest = Math.min(...cpu) / Math.min(...open.map(sample => sample.cpu))
  const added = median(own.map((sample, i) => sample.cpu - open[i].cpu))
  const verifications = median(own.map(sample => sample.verifications ?? 0))
  return [title, median(cpu).toFixed(1), Math.min(...cpu).toFixed(1), times.toFixed(2), toBest.toFixed(2),
    added.toFixed(1),
    median(rate).toFixed(0), Math.max(...rate).toFixed(0), ...counted ? [verifications.toFixed(1)] : []]
}

/**
 * One table of what each figure adds to the CPU time of a request, compared in the same turn.
 * @param {string} title
 * @param {import('./rounds.js').Figures} figures
 * @param {import('./contestants/index.js').Contestant[]} contestants
 * @param {(contestant: import('./contestants/index.js').Contestant) => string} baselineOf
 */
export function matrix (title, figures, contestants, baselineOf) {
  const rows = contestants.map(contestant => [contestant.title, ...[...figures.values()].map(samples => {
    const base = samples.get(baselineOf(contestant)) ?? []
    return median((samples.get(contestant.file) ?? []).map((sample, i) => sample.cpu - base[i].cpu)).toFixed(1)
  })])
  return table(title, ['', ...figures.keys()], rows)
}

/** @param {string} title @param {string[]} heads @param {string[][]} rows */
export function table (title, heads, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |`
  const rule = line(heads.map((_, i) => i === 0 ? '---' : '---:'))
  return [`### ${title}`, '', line(heads), rule, ...rows.map(line), ''].join('\n')
}

/** Where and when, and with which versions. @param {string} how */
export function heading (how) {
  const { dependencies } = read('package.json')
  const [{ model }] = cpus()
  const commit =
    execFileSync('git', ['describe', '--always', '--dirty'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim()
  const versions = Object.entries({ fastify: versionOf('fastify'), jose: versionOf('jose'), ...dependencies })
  return [
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}, Node.js ${process.version}, ${cpus().length} × ${model}, ${how}`,
    versions.map(([name, version]) => `${name} ${version}`).join(', '),
    ''
  ].join('\n\n')
}

/** @param {string} name of a package at the root */
function versionOf (name) {
  // All contestants share the root's version: a separate installation here would favour some.
  if (Object.keys(read('package-lock.json').packages).some(path => path.endsWith(`node_modules/${name}`))) {
    throw new Error(`test/bench has a ${name} of its own`)
  }
  return read(`../../node_modules/${name}/package.json`).version
}

/** @param {string} path */
function read (path) {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
}
