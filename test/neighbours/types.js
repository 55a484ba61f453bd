// The types of the tests here, and of the snippets with these packages.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readSnippets, writeModule } from '../fixtures/snippet.js'

const TSC = fileURLToPath(new URL('../../node_modules/typescript-7/bin/tsc', import.meta.url))

test('the tests and the snippets compile in strict TypeScript', async () => {
  const snippets = await readSnippets()
  assert.ok(snippets.length > 0)
  for (const { title, language, code } of snippets) await writeModule(`${title}.${language}`, code)
  const { stdout, stderr } = spawnSync(process.execPath, [TSC, '-p', import.meta.dirname], { encoding: 'utf8' })
  assert.equal(stdout + stderr, '')
})
