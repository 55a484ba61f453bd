// Starts a real browser.
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'

const { CHROMIUM_PATH: executablePath = '/usr/bin/chromium' } = process.env

export async function launch () {
  if (!existsSync(executablePath)) {
    throw new Error(`There is no Chromium at ${executablePath}. ` +
      'Install it (Debian: apt-get install chromium), or say where it is by CHROMIUM_PATH.')
  }
  // Without its sandbox, which the superuser of a container cannot have.
  return await chromium.launch({ executablePath, args: ['--no-sandbox'] })
}
