// Vite's development server and an API behind the edge emulator: one configuration, modules, hot replacement.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { createAccessEdge } from 'fastify-cf-access/dev'
import { createServer } from 'vite'
import { launch } from '../fixtures/browser.js'
import { freePort } from '../fixtures/free-port.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'

const MAIN = `
  import { text } from './text.js'
  const show = text => { document.body.textContent = text }
  show(text)
  import.meta.hot.accept('./text.js', module => show(module.text))
  globalThis.askApi = async () => (await fetch('/api/me')).text()`

/** @type {string} */
let folder
/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('vite').ViteDevServer} */
let vite
/** @type {import('fastify-cf-access/dev').AccessEdge} */
let edge
const api = Fastify()

before(async () => {
  browser = await launch()
  folder = await mkdtemp(join(tmpdir(), 'vite-'))
  await writeFile(join(folder, 'index.html'), '<script type="module" src="/main.js"></script>')
  await writeFile(join(folder, 'main.js'), MAIN)
  await say('first')
  const [port, apiPort] = [await freePort(), await freePort()]
  vite = await createServer({
    root: folder, configFile: false, logLevel: 'error', server: { host: '127.0.0.1', port, strictPort: true }
  })
  await vite.listen()
  edge = await createAccessEdge({
    to: `http://127.0.0.1:${port}`,
    port: 0,
    applications: [{ path: '/', audience: AUDIENCE }, { path: '/api', to: `http://127.0.0.1:${apiPort}`, audience: AUDIENCE }]
  })
  await api.register(cfAccess, { teamDomain: edge.domain, audience: AUDIENCE })
  api.get('/api/me', async request => request.cfAccess?.email)
  await api.listen({ port: apiPort, host: '127.0.0.1' })
})

after(async () => {
  await browser.close()
  await Promise.all([edge.close(), vite.close(), api.close()])
  await rm(folder, { recursive: true })
})

/** @param {string} text */
async function say (text) {
  await writeFile(join(folder, 'text.js'), `export const text = '${text}'`)
}

test('a page of Vite\'s is served and replaced in place, and its API knows the user', async () => {
  const page = await browser.newPage()
  const connected = page.waitForEvent('websocket')
  await page.goto(edge.url)
  await page.getByRole('button', { name: 'Sign in as Alice' }).click()
  await page.getByText('first').waitFor()
  assert.equal(new URL((await connected).url()).host, new URL(edge.url).host, 'through the edge')
  assert.equal(await page.evaluate('askApi()'), 'alice@example.com')
  await page.evaluate('globalThis.isSamePage = true')
  await say('second')
  await page.getByText('second').waitFor()
  assert.equal(await page.evaluate('isSamePage'), true, 'without a reload')
})
