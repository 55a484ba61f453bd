// Every page of the edge emulator: looked over by axe-core in light, in dark and on a phone. SCREENSHOTS names a folder
// to keep pictures in.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import axe from 'axe-core'
import { createAccessEdge } from 'fastify-cf-access/dev'
import { launch } from '../fixtures/browser.js'

const { SCREENSHOTS: screenshots } = process.env

const DEVICES = {
  light: { colorScheme: 'light', viewport: { width: 1000, height: 720 } },
  dark: { colorScheme: 'dark', viewport: { width: 1000, height: 720 } },
  phone: { colorScheme: 'light', viewport: { width: 360, height: 640 }, isMobile: true }
}

/** @type {Record<string, (page: import('playwright-core').Page) => Promise<unknown>>} how to come to each page */
const PAGES = {
  login: async page => page.goto(`${edge.url}/admin`),
  mistake: async page => {
    await page.goto(`${edge.url}/admin`)
    await page.getByLabel('Another user').fill('carol@a@b')
    await page.getByLabel('Another user').evaluate(input => { input.setAttribute('type', 'text') })
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByRole('alert').waitFor()
  },
  forbidden: async page => {
    await page.goto(`${edge.url}/admin`)
    await page.getByRole('button', { name: 'Sign in as Bob' }).click()
  },
  unreachable: async page => {
    await page.goto(`${edge.url}/admin`)
    await page.getByRole('button', { name: 'Sign in as Alice' }).click()
  },
  'logged-out': async page => page.goto(`${edge.domain}/cdn-cgi/access/logout?returnTo=https://evil.example`),
  'unknown-host': async page => page.goto(edge.domain)
}

/** @type {import('playwright-core').Browser} */
let browser
/** @type {import('fastify-cf-access/dev').AccessEdge} */
let edge

before(async () => {
  browser = await launch()
  const policy = { include: { group: 'admins' }, exclude: { country: ['KP', 'IR'] } }
  edge = await createAccessEdge({
    to: 'http://127.0.0.1:1',
    port: 0,
    applications: [{ path: '/admin', name: 'The back office', policy }, { hostname: 'app.localhost', path: '/' }]
  })
})

after(async () => {
  await Promise.all([browser.close(), edge.close()])
})

for (const [device, options] of Object.entries(DEVICES)) {
  for (const [name, open] of Object.entries(PAGES)) {
    test(`the page ${name}, ${device}`, async () => {
      const page = await browser.newPage(/** @type {import('playwright-core').BrowserContextOptions} */ (options))
      try {
        await open(page)
        await page.evaluate(axe.source)
        /** @type {import('axe-core').AxeResults} */
        const { violations } = await page.evaluate('axe.run()')
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [])
        const isTooWide = await page.evaluate('document.documentElement.scrollWidth > innerWidth')
        assert.equal(isTooWide, false, 'nothing is beside the screen')
        if (screenshots !== undefined) {
          await page.screenshot({ path: join(screenshots, `${name}-${device}.png`), fullPage: true })
        }
      } finally {
        await page.close()
      }
    })
  }
}
