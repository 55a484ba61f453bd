import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import * as exported from '../lib/index.js'
import { root } from './fixtures/root.js'

const page = await readFile(join(root, 'docs', 'troubleshooting.md'), 'utf8')

t.test('the page has the meaning of each reason, and what to do', async t => {
  const section = /\n## Reasons\n(.*?)\n## /s.exec(page)![1]!
  const rows = [...section.matchAll(/^\| `([\w-]+)` \| (.*?) \| (.*?) \|$/gm)]
  const told = rows.map(([, reason, meaning, cure]) => [reason, { meaning, cure }])
  t.strictSame(told, Object.entries(exported.REASONS))
})

t.test('the page names the code of each error', async t => {
  const codes = Object.values(exported)
    .filter(value => typeof value === 'function' && /Error$/.test(value.name) && value.prototype instanceof Error)
    .map(value => (new (value as new (...args: string[]) => { code: string })('missing', 'x')).code)
  const named = new Set(page.match(/FST_CF_ACCESS_\w+/g))
  t.ok(codes.length >= 8, codes.join())
  for (const code of codes) t.ok(named.has(code), code)
})

t.test('each reason is given somewhere', async t => {
  const lib = join(root, 'lib')
  const files = (await readdir(lib, { recursive: true })).filter(file => /\.ts$/.test(file) && file !== 'reasons.ts')
  const code = (await Promise.all(files.map(async file => await readFile(join(lib, file), 'utf8')))).join('\n')
  for (const reason of Object.keys(exported.REASONS)) t.ok(code.includes(`'${reason}'`), reason)
})
