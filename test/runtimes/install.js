// Installs runtimes, and projects that use the packed package, in a temporary folder.
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const { platform, arch, execPath } = process
const root = resolve(import.meta.dirname, '..', '..')

// The packages that the npm packages "node", "bun" and "deno" get a binary from, without their installation scripts.
const BINARIES = {
  node: { label: 'Node.js', from: `node-${platform}-${arch}`, file: 'bin/node', args: [] },
  bun: { label: 'Bun', from: `@oven/bun-${platform}-${arch.replace('arm64', 'aarch64')}`, file: 'bin/bun', args: [] },
  deno: {
    label: 'Deno',
    from: `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`,
    file: 'deno',
    args: ['run', '--allow-net=127.0.0.1,localhost,[::1]', '--allow-read', '--allow-env', '--allow-sys', '--allow-run']
  }
}

/** @typedef {{ label: string, binary: string, args: string[] }} Runtime */

/** @param {string} folder @param {string[]} packages */
async function install (folder, packages) {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  await run('npm', ['install', ...flags, ...packages], { cwd: folder })
}

/** @param {string} folder @param {string} name */
async function versionOf (folder, name) {
  return JSON.parse(await readFile(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version
}

/**
 * @param {string} spec such as `bun` or `node@24`; `node` alone is the Node.js that runs this
 * @param {string} home
 * @returns {Promise<Runtime>}
 */
export async function installRuntime (spec, home) {
  if (spec === 'node') return { label: `Node.js ${process.versions.node}`, binary: execPath, args: [] }
  const [name = '', version = 'latest'] = spec.split('@')
  const { label, from, file, args } = BINARIES[/** @type {keyof typeof BINARIES} */ (name)]
  const folder = join(home, spec)
  await install(folder, [`${from}@${version}`])
  return { label: `${label} ${await versionOf(folder, from)}`, binary: join(folder, 'node_modules', from, file), args }
}

/** @param {string} home @returns {Promise<string>} the tarball */
export async function pack (home) {
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', home], { cwd: root })
  return join(home, JSON.parse(stdout)[0].filename)
}

/**
 * @param {string} fastify such as `fastify@5.0.0`
 * @param {string} tarball
 * @param {string} home
 */
export async function installProject (fastify, tarball, home) {
  const { peerDependencies, devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const folder = join(home, fastify)
  await install(folder, [fastify, tarball, `@fastify/http-proxy@${peerDependencies['@fastify/http-proxy']}`,
    `@fastify/websocket@${devDependencies['@fastify/websocket']}`])
  await cp(join(import.meta.dirname, 'smoke'), join(folder, 'smoke'), { recursive: true })
  return { label: `Fastify ${await versionOf(folder, 'fastify')}`, folder }
}
