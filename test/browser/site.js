// The site of the documentation, as `npm run docs` builds it: every page, on a desktop and on a phone, light and dark.
import assert from 'node:assert'
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import fastifyStatic from '@fastify/static'
import Fastify from 'fastify'
import { launch } from '../fixtures/browser.js'

const root = join(import.meta.dirname, '..', '..')
const site = join(root, 'site')
const app = Fastify()
/** @type {import('playwright-core').Browser} */
let browser
/** @type {string} */
let origin
/** @type {string[]} */
let pages

before(async () => {
  await promisify(execFile)('npm', ['run', 'docs'], { cwd: root })
  pages = ['/index.html', ...(await readdir(join(site, 'documents'))).map(name => `/documents/${name}`)]
  app.register(fastifyStatic, { root: site })
  origin = await app.listen({ host: '127.0.0.1', port: 0 })
  browser = await launch()
})

after(async () => {
  await browser.close()
  await app.close()
})

const DEVICES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 800 } }

for (const [device, viewport] of Object.entries(DEVICES)) {
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    test(`every page fits on a ${device}, ${colorScheme}, and has its images`, async () => {
      const context = await browser.newContext({ viewport, colorScheme })
      const page = await context.newPage()
      for (const path of pages) {
        const response = await page.goto(origin + path)
        assert.equal(response?.status(), 200, path)
        assert.equal(await page.evaluate('document.documentElement.scrollWidth > innerWidth'), false, `${path} is too wide`)
        assert.equal(await page.evaluate('[...document.images].every(image => image.naturalWidth > 0)'), true, path)
        if (process.env['SCREENSHOTS'] !== undefined) {
          const name = path.replace(/^.*\/|\.html$/g, '')
          await page.screenshot({ path: join(process.env['SCREENSHOTS'], `${name}-${device}-${colorScheme}.png`) })
        }
      }
      await context.close()
    })
  }
}

test('the search finds a page by its words', async () => {
  const page = await browser.newPage()
  await page.goto(`${origin}/index.html`)
  await page.locator('#tsd-search-trigger').click()
  await page.locator('#tsd-search-input').fill('audit')
  await page.locator('#tsd-search-results a', { hasText: 'Operations' }).first().click()
  await page.waitForURL(/\/documents\/Operations\.html/)
  await page.close()
})
