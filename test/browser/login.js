// Signs in with a real browser, as a user would. Not part of `npm test`, which needs no browser.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startBehindEdge } from '../../example/edge.js'
import { launch } from './launch.js'

const { SCREENSHOTS: screenshots } = process.env
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

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/**
 * A page of a browser without a session.
 * @param {{ colorScheme?: 'light' | 'dark', edge?: { domain: string } }} [options]
 */
async function openAdmin ({ colorScheme = 'light', edge = started.edge } = {}) {
  const page = await browser.newPage({ colorScheme, viewport: { width: 800, height: 720 } })
  /** @type {string[]} */
  const complaints = []
  page.on('console', message => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', error => { complaints.push(String(error)) })
  await page.goto(`${edge.domain}/admin`)
  return { page, admin: `${edge.domain}/admin`, complaints }
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
  const [cookie] = await page.context().cookies()
  assert.deepEqual([cookie?.name, cookie?.httpOnly, cookie?.sameSite], ['CF_Authorization', true, 'Lax'])
})

test('who is not sees 403, and can sign in as another user', async () => {
  const { page, admin } = await openAdmin()
  const answer = page.waitForResponse(admin)
  await page.getByRole('button', { name: 'Sign in as Bob' }).click()
  assert.equal((await answer).status(), 403)
  assert.match(await textOf(page), /You are bob@example\.com/)
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
  assert.match(await textOf(page), /You are carol@example\.com/)
})

test('a user who logs out has to log in again', async () => {
  const { page, admin } = await openAdmin()
  await page.getByRole('button', { name: 'Sign in as Alice' }).click()
  await page.goto(new URL('/cdn-cgi/access/logout', admin).href)
  assert.match(await textOf(page), /Logged out/)
  assert.deepEqual(await page.context().cookies(), [])
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

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  test(`the login page can be read in the ${colorScheme}, and shows the token`, async () => {
    const { page, complaints } = await openAdmin({ colorScheme })
    const summary = page.getByText('The token Bob gets')
    const claims = page.getByText('"department": "sales"')
    assert.equal(await claims.isVisible(), false)
    await summary.click()
    assert.equal(await claims.isVisible(), true)
    for (const { text, ratio } of await contrasts(page)) assert.ok(ratio >= 4.5, `${text}: ${ratio}`)
    assert.deepEqual(complaints, [])
    if (screenshots !== undefined) {
      await page.screenshot({ path: join(screenshots, `login-${colorScheme}.png`), fullPage: true })
    }
  })
}

/**
 * Of each text on the page, how far it stands out from what is behind it.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<Array<{ text: string, ratio: number }>>}
 * @see WCAG 2.2, contrast ratio
 */
async function contrasts (page) {
  const texts = await page.locator('h1, p, strong, span, code, label, summary, button, a').evaluateAll(
    elements => elements.map(element => {
      const view = element.ownerDocument.defaultView
      let behind = element
      let ground = 'rgba(0, 0, 0, 0)'
      for (; behind !== null && ground === 'rgba(0, 0, 0, 0)'; behind = behind.parentElement) {
        ground =
      view.getComputedStyle(behind).backgroundColor
      }
      return { text: element.textContent ?? '', colors: [view.getComputedStyle(element).color, ground] }
    }))
  return texts.map(({ text, colors }) => {
    const [dark = 0, light = 0] = colors.map(luminance).sort((a, b) => a - b)
    return { text, ratio: (light + 0.05) / (dark + 0.05) }
  })
}

/** @param {string} color as `rgb(1, 2, 3)` */
function luminance (color) {
  const [r = 0, g = 0, b = 0] = (color.match(/\d+/g) ?? []).map(channel => {
    const value = Number(channel) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
