/** What each contestant answers where verifiers differ: no figures of speed. */
import { AUDIENCE, DOMAIN } from '../access.js'
import { contestants } from '../contestants/index.js'
import { table } from '../report.js'
import { withServer } from '../servers.js'

/** @typedef {import('../access.js').Access} Access */
/** @typedef {(token: string) => Promise<number>} Ask sends a token and tells the status */

const FORGERIES = 100

/** @type {Record<string, (ask: Ask, access: Access) => Promise<number>>} */
const probes = {
  '`meta` token': (ask, { team }) => ask(team.metaToken({ audience: AUDIENCE })),
  'type `org`': (ask, access) => ask(access.token({ type: 'org' })),
  'no `exp`': (ask, access) => ask(access.token({ exp: undefined })),
  'no `iss`': (ask, access) => ask(access.token({ iss: undefined })),
  'key rotated': async (ask, access) => {
    await ask(access.token())
    access.team.rotateKeys()
    return ask(access.token())
  },
  [`fetches for ${FORGERIES} unknown kids`]: async (ask, access) => {
    const { team } = access
    await ask(access.token())
    const before = team.requests.length
    for (let i = 0; i < FORGERIES; i++) {
      await ask(team.sign({ iss: DOMAIN, aud: [AUDIENCE] }, { alg: 'RS256', kid: i.toString(16).padStart(64, '0') }))
    }
    return team.requests.length - before
  }
}

/** @param {import('../rounds.js').Bench} bench */
export async function behaviour ({ access }) {
  const rows = []
  for (const { file, title, baseline } of contestants) {
    if (file === baseline) continue
    const answers = []
    for (const probe of Object.values(probes)) {
      answers.push(await withServer(file, access.certsUrl, {}, ({ port }) => probe(asker(port), access)))
    }
    rows.push([title, ...answers])
  }
  return table('Answers where verifiers differ', ['', ...Object.keys(probes)], rows)
}

/** @param {number} port @returns {Ask} */
function asker (port) {
  return async token => {
    const headers = { 'cf-access-jwt-assertion': token, authorization: `Bearer ${token}` }
    const { status, body } = await fetch(`http://127.0.0.1:${port}/`, { headers })
    await body?.cancel()
    return status
  }
}
