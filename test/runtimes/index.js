// Runs smoke/ on the packed package in each runtime with each version of Fastify. Not part of `npm test`.
// `npm run test:runtimes -- bun node@24 fastify@5` takes only these; `node` alone is the Node.js that runs this.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installProject, installRuntime, pack } from './install.js'

const RUNTIMES = ['node', 'node@22', 'node@24', 'node@26', 'bun', 'deno']
// The lowest and the newest that package.json allows.
const FASTIFY = ['fastify@5.0.0', 'fastify@5']
// No limit that a slow machine meets, only an end to a process that hangs.
const MILLISECONDS = 600_000

const wanted = process.argv.slice(2)
const isFastify = (/** @type {string} */ name) => name.startsWith('fastify@')
const runtimeNames = wanted.filter(name => !isFastify(name))
const fastifyNames = wanted.filter(isFastify)

const home = await mkdtemp(join(tmpdir(), 'runtimes-'))
const counts = { pass: 0, fail: 0 }
try {
  const tarball = await pack(home)
  const [runtimes, projects] = await Promise.all([
    Promise.all(orAll(runtimeNames, RUNTIMES).map(name => installRuntime(name, home))),
    Promise.all(orAll(fastifyNames, FASTIFY).map(name => installProject(name, tarball, home)))
  ])
  for (const runtime of runtimes) {
    for (const project of projects) await runChecks(runtime, project)
  }
} finally {
  await rm(home, { recursive: true })
}
console.log(`# pass ${counts.pass}\n# fail ${counts.fail}`)
process.exitCode = counts.fail === 0 ? 0 : 1

/** @param {string[]} wanted @param {string[]} all */
function orAll (wanted, all) {
  return wanted.length > 0 ? wanted : all
}

/** @param {string} text @param {RegExp} pattern */
function numberIn (text, pattern) {
  return Number(pattern.exec(text)?.[1] ?? 0)
}

/**
 * @param {import('./install.js').Runtime} runtime
 * @param {Awaited<ReturnType<typeof installProject>>} project
 */
async function runChecks ({ label, binary, args }, project) {
  const child = spawn(binary, [...args, 'smoke/index.js'],
    { cwd: project.folder, timeout: MILLISECONDS, killSignal: 'SIGKILL' })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => { output += text })
  const [code, signal] = await once(child, 'close')
  const passed = numberIn(output, /^# pass (\d+)$/m)
  const failed = numberIn(output, /^# fail (\d+)$/m)
  const isRight = code === 0 && passed > 0
  counts.pass += passed
  counts.fail += isRight ? 0 : Math.max(failed, 1)
  const unsupported = output.match(/^# not supported: .*$/gm) ?? []
  const outcome = [`${passed} passed`, `${failed} failed`, ...unsupported.map(line => line.slice(2))]
  console.log(`${isRight ? 'ok' : 'not ok'} - ${label}, ${project.label}: ${outcome.join(', ')}`)
  if (!isRight) console.log(`  # ended with ${signal ?? code}\n${output.replace(/^ok .*\n/gm, '').replace(/^/gm, '  ')}`)
}
