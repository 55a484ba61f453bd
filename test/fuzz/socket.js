// The property over sockets: what an unguarded twin hands to a reader that takes it for the prefix, the guarded
// server rejects.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findReader } from './readers.js'
import { MOUNTS, ROUTERS, SECRET, SITES, startSite, startUpstream } from './sites.js'
import { hostile } from './targets.js'
import { askAll, CLIENTS } from './wire.js'

/** @typedef {import('./sites.js').Register} Register */
/** @typedef {{ site: string, target: string, reader: string, who: string, status: number }} SocketLeak */

/**
 * @typedef {object} SocketReport
 * @property {number} targets
 * @property {number} secrets how many targets handed something out
 * @property {SocketLeak[]} leaks
 * @property {string[]} silent sites that handed nothing out
 */

/**
 * @typedef {object} Context
 * @property {import('./random.js').Random} random
 * @property {{ a: Register, b: Register }} guards
 * @property {import('./wire.js').Headers} tokenOfB headers with a token that only the second registration accepts
 * @property {import('./sites.js').World} world
 * @property {SocketReport} report
 */

const none = async () => {}

/**
 * @param {Pick<Context, 'random' | 'guards' | 'tokenOfB'> & { count: number }} options `count`: targets for all sites
 * @returns {Promise<SocketReport>}
 */
export async function checkOverSockets ({ random, count, guards, tokenOfB }) {
  const upstream = await startUpstream()
  const world = { upstream: upstream.url, root: await makeFolder() }
  /** @type {SocketReport} */
  const report = { targets: 0, secrets: 0, leaks: [], silent: [] }
  try {
    const share = Math.ceil(count / SITES.length)
    for (const site of SITES) {
      const router = random.pick(Object.keys(ROUTERS))
      await checkSite({ ...site, router }, share, { random, guards, tokenOfB, report, world })
    }
    return report
  } finally {
    upstream.close()
    await rm(world.root, { recursive: true })
  }
}

/**
 * @param {import('./sites.js').Site} site
 * @param {number} count
 * @param {Context} context
 */
async function checkSite (site, count, { random, guards, tokenOfB, report, world }) {
  const { before, isLanding, isWildcardLanding } = /** @type {import('./sites.js').Mount} */ (MOUNTS[site.mount])
  const targets = Array.from({ length: count }, () => {
    const target = hostile(random)
    const start = random.pick(before)
    return start === '' || target.startsWith('/') ? start + target : `${start}/${target}`
  })
  const twin = await startSite(site, { a: none, b: none }, world)
  const guarded = await startSite(site, guards, world)
  const clients = { twin: CLIENTS[site.protocol](twin.port), guarded: CLIENTS[site.protocol](guarded.port) }
  try {
    const answers = await askAll(clients.twin, targets)
    const secrets = targets
      .map((target, i) => ({ target, reader: readerOf(answers[i], isLanding, isWildcardLanding) }))
      .filter(({ reader }) => reader !== null)
    const name = Object.values(site).join(', ')
    report.targets += targets.length
    report.secrets += secrets.length
    if (secrets.length === 0) report.silent.push(name)
    for (const [who, headers] of /** @type {const} */ ([['a stranger', {}], ['a user of B', tokenOfB]])) {
      const answered = await askAll(clients.guarded, secrets.map(({ target }) => target), headers)
      for (const [i, { target, reader }] of secrets.entries()) {
        const status = Number(answered[i]?.status)
        if (status !== 401) report.leaks.push({ site: name, target, reader: String(reader), who, status })
      }
    }
  } finally {
    clients.twin.close()
    clients.guarded.close()
    await Promise.all([twin.close(), guarded.close()])
  }
}

/**
 * @param {import('./wire.js').Answer | undefined} answer of the twin
 * @param {import('./readers.js').Landing} isLanding
 * @param {import('./readers.js').Landing} isWildcardLanding
 * @returns {string | null} who takes the answer for something guarded
 */
function readerOf (answer, isLanding, isWildcardLanding) {
  if (answer === undefined || (answer.status !== 200 && answer.status !== 101)) return null
  if (answer.body.includes(SECRET)) return 'a file'
  if (!answer.body.startsWith('{')) return null
  /** @type {{ raw?: import('./readers.js').Start[], read?: import('./readers.js').Start[] }} */
  const { raw = [], read = [] } = JSON.parse(answer.body)
  for (const [name, text] of raw) {
    const found = name === 'url'
      ? findReader([[name, text.split('?')[0] ?? '']], isLanding)
      : findReader([[name, text]], isWildcardLanding)
    if (found !== null) return found
  }
  // A consumer is a habit already.
  for (const [name, text] of read) {
    const found = findReader([[name, text.split('?')[0] ?? '']], /url/.test(name) ? isLanding : isWildcardLanding, 2)
    if (found !== null) return found
  }
  return null
}

async function makeFolder () {
  const root = await mkdtemp(join(tmpdir(), 'fuzz-'))
  for (const folder of ['admin', 'admin/y', 'public']) await mkdir(join(root, folder), { recursive: true })
  for (const file of ['admin/x', 'admin/z', 'admin/index.html', 'admin/y/x']) await writeFile(join(root, file), SECRET)
  await writeFile(join(root, 'public/x'), 'open')
  return root
}
