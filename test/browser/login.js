// Signs in with a real browser, as a user would. Not part of `npm test`, which needs no browser.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startBehindEdge } from '../../example/edge.js'
import { launch } from '../fixtures/browser.js'
import { freePort } from '../fixtures/free-port.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'

/** @type {import('playwright-core').Browser} */
let browser
/** @type {Awaited<ReturnType<typeof startBehindEdge>>} */
let started

before(async () => {
  browser = await launch()
  started = await start()
})

after(async () => {
  await browser.close()
  await stop(started)
})

/** @param {import('fastify-cf-access').CfAccessDuration} session */
async function start (session = '24h') {
  const [port, edgePort] = await Promise.all([freePort(), freePort()])
  return startBehindEdge({ port, edgePort, audience: AUDIENCE, session })
}

/** @param {typeof started} started */
async function stop ({ app, edge }) {
  await Promise.all([app.close(), edge.close()])
}

/** A page of a browser without a session. @param {{ edge: { url: string } }} [started] */
async function openAdmin ({ edge } = started) {
  const page = await browser.newPage()
  /** @type {string[]} */
  const complaints = []
  page.on('console', message => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', error => { complaints.push(String(error)) })
  await page.goto(`${edge.url}/admin`)
  return { page, admin: `${edge.url}/admin`, complaints }
}

/** @param {import('playwright-core').Page} page */
function isAskedToLogIn (page) {
  return new URL(page.url()).pathname.startsWith('/cdn-cgi/access/login')
}

/** @param {import('playwright-core').Page} page */
async function textOf (page) {
  return page.locator('body').innerText()
}

test('who is in the admins group signs in and sees /admin', async () => {
  const { page, admin } = await openAdmin()
  assert.ok(isAskedToLogIn(page))
  await page.getByRole('button', { name: 'Sign in as Alice' }).click()
  assert.equal(page.url(), admin)
  assert.match(await textOf(page), /Hello alice@example\.com/)
  const [cookie] = await page.context().cookies(admin)
  assert.deepEqual([cookie?.name, cookie?.httpOnly, cookie?.sameSite], ['CF_Authorization', true, 'Lax'])
})

test('who is not sees 403, and can sign in as another user', async () => {
  const { page, admin } = await openAdmin()
  const answer = page.waitForResponse(admin)
  await page.getByRole('button', { name: 'Sign in as Bob' }).click()
  assert.equal((await answer).status(), 403)
  assert.match(await textOf(page), /Denied by\s+include/)
  await page.getByRole('link', { name: 'Sign in as another user' }).click()
  await page.getByRole('button', { name: 'Sign in as Alice' }).click()
  assert.equal(page.url(), admin)
  assert.match(await textOf(page), /Hello alice@example\.com/)
})

test('any address can be typed, with the keyboard only', async () => {
  const { page, admin } = await openAdmin()
  const label = page.getByLabel('Another user, by e-mail address')
  for (let presses = 0; presses < 20 && !await label.evaluate(
    input => input === input.ownerDocument.activeElement); presses++) await page.keyboard.press('Tab')
  await page.keyboard.type('carol@example.com')
  const answer = page.waitForResponse(admin)
  await page.keyboard.press('Enter')
  assert.equal((await answer).status(), 403)
  assert.match(await textOf(page), /You are\s+carol@example\.com/)
})

test('a user who logs out has to log in again', async () => {
  const { page, admin } = await openAdmin()
  await page.getByRole('button', { name: 'Sign in as Alice' }).click()
  await page.goto(new URL('/cdn-cgi/access/logout', admin).href)
  assert.match(await textOf(page), /Logged out/)
  assert.deepEqual(await page.context().cookies(admin), [])
  await page.goto(admin)
  assert.ok(isAskedToLogIn(page))
})

test('a user whose session has expired has to log in again', async () => {
  const short = await start('3s')
  try {
    const { page, admin } = await openAdmin(short)
    await page.getByRole('button', { name: 'Sign in as Alice' }).click()
    assert.match(await textOf(page), /Hello alice@example\.com/)
    const givingUp = Date.now() + 20_000
    while (!isAskedToLogIn(page) && Date.now() < givingUp) await page.goto(admin)
    assert.ok(isAskedToLogIn(page))
  } finally {
    await stop(short)
  }
})

test('the login page shows the token that each user would get', async () => {
  const { page, complaints } = await openAdmin()
  const claims = page.getByText('"department": "sales"')
  assert.equal(await claims.isVisible(), false)
  await page.getByText('The token Bob gets').click()
  assert.equal(await claims.isVisible(), true)
  assert.deepEqual(complaints, [])
})
