/** A compiled copy of the project in a temporary folder, in which one mutant at a time is tested. */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { toJavaScript } from './types.js'

const COPIED = ['lib', 'test', 'example', 'package.json', 'README.md']
const LEFT_OUT = new Set(['node_modules', '.tap', 'bench', 'soak', 'browser', 'neighbours', 'mutation', 'types.ts'])
const PRELOADED = new URL('../fixtures/saved-keys.js', import.meta.url).href

export class Workplace {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #running

  /** @param {string} folder */
  constructor (folder) {
    this.folder = folder
  }

  get keys () {
    return join(this.folder, 'saved-keys.json')
  }

  /** @param {string} root the project's folder @param {readonly string[]} keys for its tests to use */
  static async create (root, keys) {
    const folder = await mkdtemp(join(tmpdir(), 'mutation-'))
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    // By its own name the package is found in `dist`.
    await symlink(join(folder, 'lib'), join(folder, 'dist'))
    for (const name of COPIED) {
      const filter = (/** @type {string} */ path) => !relative(root, path).split('/').some(part => LEFT_OUT.has(part))
      await cp(join(root, name), join(folder, name), { recursive: true, filter })
    }
    const workplace = new Workplace(folder)
    await writeFile(workplace.keys, JSON.stringify(keys))
    for (const file of await filesIn(folder)) {
      if (file.endsWith('.ts')) await workplace.write(file, await readFile(join(folder, file), 'utf8'))
    }
    return workplace
  }

  /** Compiles a source into the copy. @param {string} file @param {string} text */
  async write (file, text) {
    const path = join(this.folder, file.replace(/\.ts$/, '.js'))
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, toJavaScript(text))
  }

  /**
   * Runs a test file as the plain program that a tap test is, until its first failure.
   * @param {string} test
   * @param {number} timeout in milliseconds
   * @returns {Promise<'passed' | 'timed out' | `failed${string}`>}
   */
  async run (test, timeout) {
    const child = spawn(process.execPath, ['--import', PRELOADED, test.replace(/\.ts$/, '.js')], {
      cwd: this.folder,
      env: { ...process.env, TAP_BAIL: '1', TAP_TIMEOUT: '0', SAVED_KEYS: this.keys },
      stdio: [
        'ignore', 'pipe', 'ignore']
    })
    this.#running = child
    return await new Promise(resolve => {
      /** @param {'passed' | 'timed out' | `failed${string}`} outcome */
      const end = outcome => {
        clearTimeout(timer)
        child.kill('SIGKILL')
        resolve(outcome)
      }
      const timer = setTimeout(end, timeout, 'timed out')
      let output = ''
      child.stdout.setEncoding('utf8').on('data', chunk => {
        output += chunk
        // Not waiting for the end: a program that has failed may still have connections to time out.
        const failure = /^\s*not ok\b.*/m.exec(output)
        if (failure !== null) end(`failed: ${failure[0].trim()}`)
        output = output.slice(output.lastIndexOf('\n') + 1)
      })
      child.once('close', code => end(code === 0 ? 'passed' : 'failed'))
    })
  }

  /** At once, since it may be the last thing the process does. */
  remove () {
    this.#running?.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** @param {string} folder @returns {Promise<string[]>} paths from there, of real files alone */
export async function filesIn (folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => relative(folder, join(entry.parentPath, entry.name)))
}
