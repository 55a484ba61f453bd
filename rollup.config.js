// Bundles the compiled modules in `build/lib` for publishing, so that a server that starts loads few files.
import { cp, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import ts from 'typescript'

const COMPILED = 'build/lib'
const ENTRIES = ['index', 'verifier', 'testing/index', 'dev/index', 'cli']
const BROWSER = 'browser/index'

// Declarations are not bundled: users can merge only an interface that is exported with a star.
const declarations = {
  name: 'declarations',
  async writeBundle () {
    const reached = new Set([...ENTRIES, BROWSER])
    for (const module of reached) {
      const file = `${module}.d.ts`
      const text = await readFile(join(COMPILED, file), 'utf8')
      for (const [, path] of text.matchAll(/(?: from |^import |import\()["'](\.[^"']+)\.js["']/gm)) {
        reached.add(posix.join(posix.dirname(module), path))
      }
      await cp(join(COMPILED, file), join('dist', file))
    }
  }
}

// The declarations have the docstrings, and the repository has all comments.
const withoutComments = {
  name: 'without-comments',
  /** @param {string} code */
  renderChunk: code => ts.transpileModule(code, {
    compilerOptions: { removeComments: true, target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext }
  }).outputText
}

/**
 * Whether the verifier imports a module, directly or by way of others.
 * @param {string} id
 * @param {import('rollup').ManualChunkMeta} modules
 */
function isOfVerifier (id, { getModuleIds, getModuleInfo }) {
  const reached = new Set([...getModuleIds()].filter(name => name.endsWith(`${COMPILED}/verifier.js`)))
  for (const name of reached) getModuleInfo(name)?.importedIds.forEach(imported => reached.add(imported))
  return reached.has(id)
}

const forNode = {
  input: Object.fromEntries(ENTRIES.map(name => [name, `${COMPILED}/${name}.js`])),
  external: id => !id.startsWith('.') && !id.startsWith('/'),
  plugins: [withoutComments, declarations],
  output: {
    dir: 'dist',
    chunkFileNames: 'shared/[name].js',
    hoistTransitiveImports: false,
    // What needs no Fastify in one file, and the rest of the plugin in another one.
    manualChunks: (id, modules) => /\/lib\/(?:cli\.js|(?:dev|doctor|testing)\/)/.test(id) ? undefined : isOfVerifier(id, modules) ? 'verifier' : 'plugin'
  }
}

// One file, which an application can serve as it is.
const forBrowsers = {
  input: `${COMPILED}/${BROWSER}.js`,
  plugins: [withoutComments],
  output: { file: 'dist/browser.js' }
}

export default [forNode, forBrowsers]
