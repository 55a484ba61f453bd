// Bundles the compiled modules in `build/lib` for publishing, so that a server that starts loads few files.
import { cp, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'

const COMPILED = 'build/lib'
const ENTRIES = ['index', 'testing/index', 'dev/index', 'dev/cli']

// Declarations are not bundled: users can merge only an interface that is exported with a star.
const declarations = {
  name: 'declarations',
  async writeBundle () {
    const reached = new Set(ENTRIES)
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

export default {
  input: Object.fromEntries(ENTRIES.map(name => [name, `${COMPILED}/${name}.js`])),
  external: id => !id.startsWith('.') && !id.startsWith('/'),
  plugins: [declarations],
  output: {
    dir: 'dist',
    chunkFileNames: 'shared/[name].js',
    hoistTransitiveImports: false,
    // All of the plugin in one file, which the emulators share.
    manualChunks: id => /\/(?:dev|testing)\//.test(id) ? undefined : 'plugin'
  }
}
