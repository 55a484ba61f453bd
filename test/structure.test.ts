import { readdir, readFile } from 'node:fs/promises'
import { join, posix, relative } from 'node:path'
import t from 'tap'
import { root } from './fixtures/root.js'

/** From top to bottom: a file imports files of its own layer and of those below it. */
const LAYERS = [
  ['index'],
  ['browser'],
  ['cli'],
  ['dev', 'doctor'],
  ['testing'],
  ['plugin', 'swagger', 'verifier', 'from-env', 'user-of', 'redact-paths'],
  ['sign-out'],
  ['optional'],
  ['options', 'guard', 'trusted-teams'],
  ['reject'],
  ['token-options'],
  ['server-state'],
  ['coverage', 'registration', 'admission'],
  ['rejection-patterns', 'hints'],
  ['token'],
  ['keys'],
  ['policy'],
  ['identity'],
  ['access'],
  ['channels'],
  ['util'],
  ['errors'],
  ['reasons']
]

/** Layers at one level that must not import each other. */
const APART: ReadonlyArray<readonly [string, string]> = [['dev/', 'doctor/'], ['doctor/', 'dev/']]

const IMPORT = /^(?:import|export) [^']*?from '(\.[^']+)'|^import '(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm

const lib = join(root, 'lib')

/** The relative imports of each file of the library, as paths in it. */
async function readImports (): Promise<Map<string, string[]>> {
  const entries = await readdir(lib, { recursive: true })
  const files = entries.filter(name => name.endsWith('.ts')).map(name => name.replaceAll('\\', '/').slice(0, -3))
  return new Map(await Promise.all(files.map(async file => {
    const text = await readFile(join(lib, `${file}.ts`), 'utf8')
    const imports = [...text.matchAll(IMPORT)].map(([, from, alone, dynamic]) => from ?? alone ?? dynamic ?? '')
    return [file, imports.map(name => posix.join(posix.dirname(file), name).replace(/\.js$/, ''))] as const
  })))
}

/** A file at the top is a layer's member by its own name, another one by its folder's. */
function layerOf (file: string): number {
  return LAYERS.findIndex(layer => layer.includes(file.split('/')[0]!))
}

/** The files of one circle of imports; empty when there is none. */
function findCircle (imports: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const done = new Set<string>()
  const visit = (file: string, way: readonly string[]): readonly string[] => {
    if (way.includes(file)) return way.slice(way.indexOf(file))
    if (done.has(file)) return []
    for (const next of imports.get(file) ?? []) {
      const circle = visit(next, [...way, file])
      if (circle.length > 0) return circle
    }
    done.add(file)
    return []
  }
  for (const file of imports.keys()) {
    const circle = visit(file, [])
    if (circle.length > 0) return circle
  }
  return []
}

t.test('imports run downwards, and never in a circle', async t => {
  const imports = await readImports()
  t.ok(imports.size > 40, `${imports.size} files`)
  t.strictSame([...imports.keys()].filter(file => layerOf(file) === -1), [], 'each file has its layer')
  const upward = [...imports].flatMap(([file, names]) => names
    .filter(name => !imports.has(name) || layerOf(name) < layerOf(file)).map(name => `${file} imports ${name}`))
  t.strictSame(upward, [], 'no import goes up, or nowhere')
  t.strictSame(findCircle(imports), [], 'no circle')
  const across = [...imports].flatMap(([file, names]) => names.filter(name =>
    APART.some(([from, to]) => file.startsWith(from) && name.startsWith(to))).map(name => `${file} imports ${name}`))
  t.strictSame(across, [], 'neither command imports the other')
})

t.test('a circle is found', async t => {
  t.strictSame(findCircle(new Map([['a', ['b']], ['b', ['c']], ['c', ['b']]])), ['b', 'c'])
})

t.test('the test plan names every number, with the tests that have it', async t => {
  // With types, which follows no symbolic link: test/neighbours has one to this very folder.
  const entries = await readdir(join(root, 'test'), { recursive: true, withFileTypes: true })
  const paths = entries.map(({ name, parentPath }) => relative(join(root, 'test'), join(parentPath, name)))
  const tests = paths.filter(path => path.endsWith('.test.ts') && !path.includes('node_modules')).sort()
  const found = new Map<string, string[]>()
  for (const name of tests) {
    const text = await readFile(join(root, 'test', name), 'utf8')
    for (const id of new Set(text.match(/\b[A-Z]-\d\d\b/g))) {
      found.set(id, [...found.get(id) ?? [], name.replaceAll('\\', '/').slice(0, -'.test.ts'.length)])
    }
  }
  const plan = await readFile(join(root, 'test', 'PLAN.md'), 'utf8')
  const planned = [...plan.matchAll(/^\| ([A-Z]-\d\d) \| .+ \| (.*) \|$/gm)].map(([, id, files]) => [id, files])
  t.strictSame(Object.fromEntries(planned), Object.fromEntries([...found].map(([id, files]) => [id, files.join(', ')])))
})

t.test('the guide for contributors names every script', async t => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object }
  const guide = await readFile(join(root, 'CONTRIBUTING.md'), 'utf8')
  const unnamed = Object.keys(scripts).filter(name => !new RegExp(`(?:npm (?:run )?|\`)${name}(?![\\w:])`).test(guide))
  t.strictSame(unnamed, [])
})
