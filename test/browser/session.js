// `fastify-cf-access/browser` in a real browser: pages whose session ends, behind the edge emulator.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import axe from 'axe-core'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { createAccessEdge } from 'fastify-cf-access/dev'
import { launch } from '../fixtures/browser.js'
import { freePort } from '../fixtures/free-port.js'

const moduleText = await readFile(fileURLToPath(import.meta.resolve('fastify-cf-access/browser')), 'utf8')

const PAGE = `<!doctype html><html lang="en"><title>Page</title><script type="module">
  globalThis.access = await import('/access.js')
  document.title = 'Ready'
</script>`

// Answers every navigation from its cache, as an application's shell is often served.
const WORKER = `
  self.addEventListener('install', event => event.waitUntil(caches.open('shell')
    .then(cache => cache.addAll(['/shell', '/access.js'])).then(() => self.skipWaiting())))
  self.addEventListener('activate', event => event.waitUntil(clients.claim()))
  self.addEventListener('fetch', event => {
    const { pathname } = new URL(event.request.url)
    if (['/shell', '/access.js'].includes(pathname)) event.respondWith(caches.match(pathname))
  })`

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'

/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('playwright-core').BrowserContext} */
let context
/** @type {import('fastify-cf-access/dev').AccessEdge} */
let edge
/** @type {import('fastify').FastifyInstance} */
let app
/** @type {string} where the application is without the edge: another origin */
let appOrigin
let posts = 0
/** @type {Array<Record<string, unknown>>} */
let received = []

before(async () => {
  browser = await launch()
  app = Fastify()
  for (const [path, headers] of Object.entries({
    '/page': {}, '/shell': {}, '/isolated': { 'cross-origin-opener-policy': 'same-origin' }
  })) {
    app.get(path, async (_request, reply) => reply.headers(headers).type('text/html').send(PAGE))
  }
  app.get('/access.js', async (_request, reply) => reply.type('text/javascript').send(moduleText))
  app.get('/worker.js', async (_request, reply) => reply.type('text/javascript').send(WORKER))
  app.get('/api', async ({ headers }) => {
    received.push(headers)
    return { answer: 42 }
  })
  app.post('/api', async () => ({ posts: ++posts }))
  app.get('/own-401', async (_request, reply) => reply.code(401).send({ own: true }))
  app.get('/html', async (_request, reply) => reply.type('text/html').send('<p>not JSON</p>'))
  app.get('/public', { config: { cfAccess: false } }, async ({ headers }, reply) => {
    received.push(headers)
    return reply.header('access-control-allow-origin', '*').send({ public: true })
  })
  const port = await freePort()
  const applications = [{ path: '/', audience: AUDIENCE, name: 'The page' }]
  edge = await createAccessEdge({ to: `http://127.0.0.1:${port}`, port: 0, applications })
  await app.register(cfAccess, { teamDomain: edge.domain, audience: AUDIENCE })
  appOrigin = await app.listen({ port, host: '127.0.0.1' })
})

beforeEach(async () => {
  context = await browser.newContext()
  received = []
  posts = 0
})

afterEach(async () => { await context.close() })

after(async () => {
  await browser.close()
  await Promise.all([edge.close(), app.close()])
})

/** A page behind the edge, with a session. @param {string} path */
async function open (path = '/page') {
  const page = await context.newPage()
  await page.goto(edge.url + path)
  await logIn(page)
  await ready(page)
  return page
}

/** @param {import('playwright-core').Page} page on the login page */
async function logIn (page) {
  await page.getByRole('button', { name: 'Sign in as Alice' }).click()
}

/** @param {import('playwright-core').Page} page */
async function ready (page) {
  await page.waitForFunction('document.title === "Ready"')
}

/** The session ends as when its cookie expires. */
async function endSession () {
  await context.clearCookies()
}

/**
 * Calls `accessFetch()`, and tells how it ended.
 * @param {import('playwright-core').Page} page
 * @param {string} path
 * @param {object} [init]
 * @returns {Promise<{ status?: number, body?: unknown, error?: string }>}
 */
async function accessFetch (page, path, init = {}) {
  return page.evaluate(`access.accessFetch(${JSON.stringify(path)}, ${JSON.stringify(init)}).then(
    async response => ({ status: response.status, body: await response.json().catch(() => null) }),
    error => ({ error: error.name }))`)
}

/** @param {import('playwright-core').Page} page */
function dialogOf (page) {
  return page.getByRole('dialog', { name: 'Session ended' })
}

/** Presses the dialog's button, and logs in in the window that opens. @param {import('playwright-core').Page} page */
async function logInAgain (page) {
  const popup = context.waitForEvent('page')
  await dialogOf(page).getByRole('button', { name: 'Log in' }).click()
  await logIn(await popup)
}

const ASK = { onSessionEnd: 'ask' }

test('a plain fetch without a session fails as in production, with a CORS error', async () => {
  const page = await open()
  await endSession()
  const complaint = page.waitForEvent('console', message => message.text().includes('CORS policy'))
  const error = await page.evaluate('fetch("/api").catch(error => error.name)')
  assert.equal(error, 'TypeError')
  assert.match((await complaint).text(), /redirected from .*blocked by CORS policy/)
})

test('with a session, accessFetch is fetch, and says that it is a script', async () => {
  const page = await open()
  assert.deepEqual(await accessFetch(page, '/api'), { status: 200, body: { answer: 42 } })
  assert.equal(received[0]?.['x-requested-with'], 'XMLHttpRequest')
  await accessFetch(page, '/api', { headers: { 'x-requested-with': 'own' } })
  assert.equal(received[1]?.['x-requested-with'], 'own')
  assert.equal(await page.evaluate('access.whoAmI().then(({ email }) => email)'), 'alice@example.com')
})

test('the application\'s own answers are passed on, with a session', async () => {
  const page = await open()
  assert.deepEqual(await accessFetch(page, '/own-401', ASK), { status: 401, body: { own: true } })
  assert.equal((await accessFetch(page, '/html', { ...ASK, headers: { accept: 'application/json' } })).status, 200)
  assert.deepEqual(await accessFetch(page, '/api', { ...ASK, signal: null }), { status: 200, body: { answer: 42 } })
  assert.equal(await page.evaluate(`{
    const control = new AbortController()
    const asked = access.accessFetch('/api', { signal: control.signal, onSessionEnd: 'ask' })
    control.abort()
    asked.catch(error => error.name)
  }`), 'AbortError')
})

test('other origins get nothing of it', async () => {
  const page = await open()
  await endSession()
  assert.deepEqual(await accessFetch(page, `${appOrigin}/public`, ASK), { status: 200, body: { public: true } })
  assert.equal(received[0]?.['x-requested-with'], undefined)
  assert.deepEqual(await accessFetch(page, `${appOrigin}/api`, ASK), { error: 'TypeError' }, 'and no recovery')
})

test('reload leads to the login and back to path, query and hash', async () => {
  const page = await open('/page?a=1')
  await page.evaluate('location.hash = "part"')
  await endSession()
  page.evaluate('access.accessFetch("/api")').catch(() => {}) // the page ends before it does
  await page.waitForURL(`${edge.domain}/cdn-cgi/access/login/**`)
  await logIn(page)
  await page.waitForURL(`${edge.url}/page?a=1#part`)
  await ready(page)
  assert.deepEqual(await accessFetch(page, '/api'), { status: 200, body: { answer: 42 } })
})

test('reload gives up in a shell that a service worker serves, and says so', async () => {
  const page = await open('/shell')
  await page.evaluate('navigator.serviceWorker.register("/worker.js").then(() => navigator.serviceWorker.ready)')
  await page.waitForFunction('navigator.serviceWorker.controller !== null')
  await endSession()
  const navigated = page.waitForEvent('framenavigated')
  page.evaluate('access.accessFetch("/api")').catch(() => {})
  await navigated
  await ready(page)
  assert.equal(page.url(), `${edge.url}/shell`, 'no login')
  assert.deepEqual(await page.evaluate(`{
    const events = []
    access.accessFetch('/api', { onSessionEnd: event => { events.push(event); return 'reload' } })
      .then(({ status }) => [...events, status])
  }`), ['ended', 'stuck', 401])
  assert.deepEqual(await accessFetch(page, '/api'), { status: 401, body: await edgeError() })
})

/** What the edge answers to a script. */
async function edgeError () {
  return (await fetch(`${edge.url}/api`, { headers: { 'x-requested-with': 'XMLHttpRequest' } })).json()
}

test('ask opens the login in a new window, and repeats what can be repeated', async () => {
  const page = await open()
  await endSession()
  const answer = accessFetch(page, '/api', ASK)
  await logInAgain(page)
  assert.deepEqual(await answer, { status: 200, body: { answer: 42 } })
  assert.equal(await dialogOf(page).count(), 0)
})

test('a POST is not repeated', async () => {
  const page = await open()
  await endSession()
  const answer = accessFetch(page, '/api', { ...ASK, method: 'POST' })
  await logInAgain(page)
  assert.equal((await answer).status, 401)
  assert.deepEqual(await accessFetch(page, '/api', { ...ASK, method: 'POST' }), { status: 200, body: { posts: 1 } })
})

test('a page that isolates itself from other windows notices the login too', async () => {
  const page = await open('/isolated')
  await endSession()
  const answer = accessFetch(page, '/api', ASK)
  await logInAgain(page)
  assert.deepEqual(await answer, { status: 200, body: { answer: 42 } })
})

test('twenty requests at once share one login', async () => {
  const page = await open()
  await endSession()
  const identities = countRequests(page, '/cdn-cgi/access/get-identity')
  const answers = Promise.all(Array.from({ length: 20 }, async () => accessFetch(page, '/api', ASK)))
  await dialogOf(page).waitFor()
  assert.equal(identities(), 1)
  await logInAgain(page)
  assert.deepEqual(new Set((await answers).map(({ status }) => status)), new Set([200]))
  assert.equal(received.length, 20)
})

/** @param {import('playwright-core').Page} page @param {string} path */
function countRequests (page, path) {
  let count = 0
  page.on('request', request => { if (new URL(request.url()).pathname === path) count++ })
  return () => count
}

test('a dialog that the user closes gives the requests their errors', async () => {
  const page = await open()
  await endSession()
  const answer = accessFetch(page, '/api', ASK)
  await dialogOf(page).waitFor()
  await page.keyboard.press('Escape')
  assert.equal((await answer).status, 401)
  assert.equal(await dialogOf(page).count(), 0)
})

test('a callback decides, and can log in itself', async () => {
  const page = await open()
  await endSession()
  const login = context.newPage()
  await page.exposeFunction('logInElsewhere', async () => {
    const other = await login
    await other.goto(`${edge.url}/page`)
    await logIn(other)
    await ready(other)
  })
  assert.equal(await page.evaluate(`access.accessFetch('/api', {
    onSessionEnd: async () => { await logInElsewhere(); return true }
  }).then(({ status }) => status)`), 200)
  await endSession()
  assert.equal(await page.evaluate('access.accessFetch("/api", { onSessionEnd () {} }).then(({ status }) => status)'),
    401)
})

test('offline is not the end of a session', async () => {
  const page = await open()
  await context.setOffline(true)
  assert.deepEqual(await accessFetch(page, '/api', ASK), { error: 'TypeError' })
  assert.equal(await dialogOf(page).count(), 0)
  assert.equal(await page.evaluate('access.whoAmI().catch(error => error.name)'), 'TypeError')
  await context.setOffline(false)
  assert.deepEqual(await accessFetch(page, '/api', ASK), { status: 200, body: { answer: 42 } })
})

test('a user who signs out in one tab is asked in another', async () => {
  const [one, other] = [await open(), await context.newPage()]
  await other.goto(`${edge.url}/page`)
  await ready(other)
  await one.evaluate('caches.open("own")')
  await one.evaluate(`access.signOut('${edge.domain}/', { clearCaches: true })`).catch(() => {})
  await one.waitForURL(`${edge.domain}/`)
  assert.deepEqual(await other.evaluate('caches.keys()'), [])
  assert.equal(await other.evaluate('access.whoAmI()'), null)
  const answer = accessFetch(other, '/api', ASK)
  await logInAgain(other)
  assert.equal((await answer).status, 200)
  await other.evaluate('access.signOut()').catch(() => {})
  await other.waitForURL(`${edge.url}/cdn-cgi/access/logout`)
})

test('onSessionEndSoon calls back once, in time or at once, and can be cancelled', async () => {
  const page = await open()
  assert.deepEqual(await page.evaluate(`new Promise(resolve => {
    const calls = []
    access.onSessionEndSoon(Date.now() + 60_200, '1m', () => { calls.push('in time'); resolve(calls) })
    access.onSessionEndSoon(Date.now(), '5m', () => { calls.push('at once') })
    access.onSessionEndSoon(Date.now() + 30 * 86_400_000, '1s', () => { calls.push('too early') })
    access.onSessionEndSoon(0, '1s', () => { calls.push('cancelled') })()
  })`), ['at once', 'in time'])
  for (const args of ['NaN, "5m"', '0, 5', '0, "soon"']) {
    assert.equal(await page.evaluate(`{ let name; try { access.onSessionEndSoon(${args}, () => {}) } catch (error) { name = error.name } name }`),
      'TypeError', args)
  }
})

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  test(`axe-core finds nothing wrong with the dialog, ${colorScheme}`, async () => {
    const page = await open()
    await page.emulateMedia({ colorScheme })
    await endSession()
    accessFetch(page, '/api', ASK).catch(() => {})
    await dialogOf(page).waitFor()
    await page.evaluate(axe.source)
    /** @type {import('axe-core').AxeResults} */
    const { violations } = await page.evaluate('axe.run("dialog")')
    assert.deepEqual(violations.map(({ id }) => id), [])
  })
}
