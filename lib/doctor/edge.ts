/** Asks the app's public URL without a session: Access must answer, and by the settings. */
import { ACCESS_PATH } from '../access/protocol.js'
import { ask, isRejection, ownCodeIn, type Reply } from './ask.js'
import { failed, passed, rejected, type Check } from './check.js'
import type { DoctorSettings } from './settings.js'
import { troubleOf, type Env } from './trouble.js'
import { listed, showSetting, showTags, showTeam } from './wording.js'

// http to https, a bare domain to its pages, and one more.
const MAX_REDIRECTS = 3

const LOGIN = `${ACCESS_PATH}/login/`

export async function checkUrl (url: URL, settings: DoctorSettings, env: Env): Promise<Check> {
  try {
    const { reply, target } = await follow(url)
    return target === null ? checkAnswer(url, reply) : checkRedirect(url, target, settings)
  } catch (error) {
    const { text, todo } = troubleOf(error, env)
    return failed('url', `There is no answer from ${url.host}: ${text}.`, todo)
  }
}

/** The first answer that is not a redirect on the same hostname, and where it leads if it is a redirect. */
async function follow (url: URL, left = MAX_REDIRECTS): Promise<{ reply: Reply, target: URL | null }> {
  const reply = await ask(url.href, 'text/html', isRejection)
  const target = targetOf(reply, url)
  const isOwn = target !== null && target.hostname === url.hostname && !target.pathname.startsWith(LOGIN)
  return isOwn && left > 0 ? follow(target, left - 1) : { reply, target }
}

function targetOf ({ status, headers }: Reply, base: URL): URL | null {
  const location = headers.get('location')
  if (location === null || status < 300 || status >= 400) return null
  return URL.canParse(location, base.href) ? new URL(location, base) : null
}

function checkRedirect (url: URL, target: URL, settings: DoctorSettings): Check {
  if (target.pathname.startsWith(LOGIN)) return checkLogin(url, target, settings)
  return target.hostname === url.hostname
    ? failed('url', `${url.host} redirects to itself more than ${MAX_REDIRECTS} times.`,
      'Give --url a page that does not redirect.')
    : failed('url', `${url.host} redirects to ${target.host}, not to the login page of Access.`,
      `Access does not protect this path of ${url.host}. If your app is at ${target.host}, give that URL.`)
}

function checkLogin (url: URL, target: URL, { teams, tags }: DoctorSettings): Check {
  const issuers = teams.map(({ issuer }) => issuer)
  const tag = target.searchParams.get('kid') ?? undefined
  const found = `${url.host} redirects to the login page of ${showTeam(target.origin)} for the AUD tag ${showTags(tag, tags)}`
  const isTeam = issuers.includes(target.origin)
  if (isTeam && tags.some(own => own === tag)) return passed('url', `${found}, as in the settings.`)
  const wanted = `the settings have the team ${listed(issuers)} and the AUD tag ${listed(tags.map(showSetting))}`
  return rejected('url', `${found}; ${wanted}.`, isTeam ? 'audience' : 'issuer')
}

function checkAnswer (url: URL, { status, headers, text }: Reply): Check {
  if (isRejection(status)) return checkRejection(url, status, headers, ownCodeIn(text))
  if (status >= 500) {
    return failed('url', `${url.host} answers with status ${status} without a session.`,
      'Status 502 and above are often of Cloudflare: the origin or the tunnel is down. Else see the log of your app.')
  }
  return unprotected(`${url.host} answers with status ${status} without a session.`)
}

function checkRejection (url: URL, status: number, headers: Headers, code: string | null): Check {
  if (code !== null) {
    return unprotected(`Your app itself answers with status ${status} and ${code}: the request came to it ` +
      `through ${url.host} without a token.`)
  }
  if (headers.has('cf-mitigated')) {
    return failed('url', `Cloudflare answers with status ${status} and a challenge for browsers, before Access.`,
      'Ask from another network, or open the URL in a browser without a session.')
  }
  const who = (headers.get('www-authenticate') ?? '').includes('resource_metadata')
    ? 'as Managed OAuth of Access does'
    : 'as an Access application does that admits only service tokens'
  return passed('url', `${url.host} answers with status ${status} without a session, ${who}.`)
}

function unprotected (text: string): Check {
  return rejected('url', `${text} Access does not protect this path.`, 'missing',
    'Add an Access application for this hostname and path, or look for a Bypass policy, which lets requests through ' +
    'without a token.')
}
