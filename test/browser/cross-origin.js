// What a real browser sends from pages of other origins. Not part of `npm test`, which needs no browser.
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import fastifyWebsocket from '@fastify/websocket'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { createAccessTeam } from 'fastify-cf-access/testing'
import { launch } from '../fixtures/browser.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'

/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('playwright-core').Page} */
let page
/** @type {import('fastify-cf-access/testing').AccessTeam} */
let team
/** @type {string[]} what the application answered */
let answers
const app = Fastify()
const attacker = Fastify()
const port = { app: 0, attacker: 0 }

before(async () => {
  browser = await launch()
  team = await createAccessTeam()
  await app.register(fastifyWebsocket)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
  app.addHook('onResponse', async (request, reply) => {
    if (request.url !== '/favicon.ico') answers.push(`${request.method} ${request.url} ${reply.statusCode}`)
  })
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  // As Access sets its cookie by default: it goes with requests of every site. Chromium trusts localhost without TLS.
  app.get('/login', { config: { cfAccess: false } }, async (_request, reply) => {
    const token = team.userToken({ email: 'alice@acme.com', audience: AUDIENCE })
    reply.header('set-cookie', `CF_Authorization=${token}; Path=/; HttpOnly; Secure; SameSite=None`)
    return 'logged in'
  })
  app.get('/', async (_request, reply) => reply.type('text/html').send(formTo('/change')))
  app.post('/change', async () => 'changed')
  app.post('/return', { config: { cfAccess: { trustedOrigins: 'any' } } }, async () => 'returned')
  app.get('/live', { websocket: true }, socket => { socket.send('hello') })
  attacker.get('/:path', async (request, reply) => {
    const { path } = /** @type {{ path: string }} */ (request.params)
    return reply.type('text/html').send(formTo(`http://localhost:${port.app}/${path}`))
  })
  port.app = await listen(app)
  port.attacker = await listen(attacker)
})

beforeEach(async () => {
  const context = await browser.newContext()
  page = await context.newPage()
  await page.goto(`http://localhost:${port.app}/login`)
  answers = []
})

after(async () => {
  await browser.close()
  await Promise.all([app.close(), attacker.close(), team.close()])
})

/** @param {string} action */
function formTo (action) {
  return `<form method="post" action="${action}"><button>Win a prize</button></form>`
}

/** @param {import('fastify').FastifyInstance} server */
async function listen (server) {
  await server.listen({ port: 0, host: 'localhost' })
  return /** @type {import('node:net').AddressInfo} */ (server.server.address()).port
}

test('a form of the application\'s own page is admitted', async () => {
  await page.goto(`http://localhost:${port.app}/`)
  await page.getByRole('button').click()
  await page.waitForURL('**/change')
  assert.deepEqual(answers, ['GET / 200', 'POST /change 200'])
})

test('a form on a page of another site is rejected, though the browser sends the cookie', async () => {
  await page.goto(`http://127.0.0.1:${port.attacker}/change`)
  await page.getByRole('button').click()
  await page.waitForURL(`http://localhost:${port.app}/change`)
  assert.match(await page.locator('body').innerText(), /FST_CF_ACCESS_CROSS_ORIGIN/)
  assert.deepEqual(answers, ['POST /change 403'])
})

test('such a form is admitted on a route that trusts any origin', async () => {
  await page.goto(`http://127.0.0.1:${port.attacker}/return`)
  await page.getByRole('button').click()
  await page.waitForURL(`http://localhost:${port.app}/return`)
  assert.deepEqual(answers, ['POST /return 200'], 'the cookie was sent')
})

test('a script on another port of the same host cannot change anything', async () => {
  await page.goto(`http://localhost:${port.attacker}/page`)
  const url = `http://localhost:${port.app}`
  await page.evaluate(async url => {
    for (const [path, method] of /** @type {const} */ ([['/change', 'POST'], ['/return', 'POST'], ['/', 'GET']])) {
      await fetch(url + path, { method, mode: 'no-cors', credentials: 'include' })
    }
  }, url)
  assert.deepEqual(answers, ['POST /change 403', 'POST /return 200', 'GET / 200'])
})

/** Opens a WebSocket from the page: its first message, or the kind of the event. */
async function openSocket () {
  return await page.evaluate(url => new Promise(resolve => {
    const socket = new WebSocket(url)
    socket.onmessage = ({ data }) => resolve(data)
    socket.onerror = () => resolve('error')
  }), `ws://localhost:${port.app}/live`)
}

test('a WebSocket opens from the application\'s own page only', async () => {
  await page.goto(`http://localhost:${port.app}/`)
  assert.equal(await openSocket(), 'hello')
  await page.goto(`http://localhost:${port.attacker}/page`)
  assert.equal(await openSocket(), 'error')
  assert.ok(answers.includes('GET /live 403'), answers.join(', '))
})
