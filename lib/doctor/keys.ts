/** Fetches the keys of a team, and compares this machine's clock with Cloudflare's. */
import { X509Certificate } from 'node:crypto'
import type { Team } from '../access/team.js'
import { readKeys, type PublishedKeys } from '../keys/jwks.js'
import { isObject } from '../util/is-object.js'
import { ask, type Reply } from './ask.js'
import { failed, passed, rejected, type Check } from './check.js'
import { troubleOf, type Env } from './trouble.js'
import { listed, plural, span } from './wording.js'

/** What a team's endpoint answered. */
export interface TeamKeys {
  readonly team: Team
  readonly check: Check
  /** `null` where there are none. */
  readonly keys: PublishedKeys | null
  /** By how many seconds this machine's clock is ahead; negative when it is behind. `null` where that is unknown. */
  readonly clockAhead: number | null
}

export async function fetchKeys (team: Team, env: Env): Promise<TeamKeys> {
  try {
    const reply = await ask(team.certsUrl, 'application/json', () => true)
    return { team, ...await judge(team, reply), clockAhead: clockAhead(reply) }
  } catch (error) {
    const { text, todo } = troubleOf(error, env)
    const check = failed('keys', `There is no answer from ${team.certsUrl}: ${text}.`, todo)
    return { team, check, keys: null, clockAhead: null }
  }
}

async function judge ({ certsUrl }: Team, reply: Reply): Promise<Pick<TeamKeys, 'check' | 'keys'>> {
  const { status, took, text } = reply
  const answer = `${certsUrl} answered with status ${status} after ${took} ms`
  if (status !== 200) return { check: failed('keys', `${answer}.`, statusTodo(status)), keys: null }
  try {
    const keys = await readKeys(text)
    return { check: passed('keys', `${answer}: ${plural(keys.size, 'usable key')}${agesIn(text, keys)}.`), keys }
  } catch (error) {
    const check = failed('keys', `${answer}, but ${(error as Error).message}.`,
      'Another server answers in place of Access, such as a proxy or its login page: ask for this URL by hand.')
    return { check, keys: null }
  }
}

function statusTodo (status: number): string {
  if (status === 404) {
    return 'There is no such team. Copy the team name from Zero Trust > Settings. It changes when a team is renamed.'
  }
  if (status >= 500) return 'Cloudflare or a proxy has trouble: see cloudflarestatus.com, and try again.'
  if (status >= 400) return 'A firewall or proxy rejects the request: allow this URL from this machine.'
  return 'The endpoint of a team answers with 200. Look for a proxy or a login page of your network in between.'
}

/** The ages of the keys by their certificates, where the document has any. */
function agesIn (text: string, keys: PublishedKeys): string {
  const { public_certs: certs } = JSON.parse(text) as { public_certs?: unknown }
  const ages = (Array.isArray(certs) ? certs : []).flatMap(entry => {
    const age = isObject(entry) && keys.has(String(entry['kid'])) ? ageOf(entry['cert']) : null
    return age === null ? [] : [span(age)]
  })
  return ages.length === 0 ? '' : `, made ${listed(ages)} ago`
}

/** Seconds since the certificate's first day; `null` for what is not a certificate. */
function ageOf (pem: unknown): number | null {
  try {
    return (Date.now() - Date.parse(new X509Certificate(String(pem)).validFrom)) / 1000
  } catch {
    return null
  }
}

/** The `Date` header has whole seconds, rounded down. */
function clockAhead ({ headers, at }: Reply): number | null {
  const date = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(date) ? null : Math.round((at - 500 - date) / 1000)
}

// Seconds. A `Date` header and the time on the way allow no closer comparison.
const PRECISION = 1

/** @param tolerance seconds */
export function checkClock (teams: readonly TeamKeys[], tolerance: number): Check[] {
  const ahead = clockOf(teams)
  if (ahead === null) return []
  const difference = plural(Math.abs(ahead), 'second')
  const direction = ahead > 0 ? 'ahead of' : 'behind'
  if (Math.abs(ahead) <= Math.max(tolerance, PRECISION)) {
    const text = ahead === 0 ? 'agrees with' : `is ${difference} ${direction}`
    return [passed('clock', `The clock of this machine ${text} that of the team's endpoint.`)]
  }
  const text = `The clock of this machine is ${difference} ${direction} that of the team's endpoint; ` +
    `${plural(tolerance, 'second')} are tolerated.`
  return [rejected('clock', text, ahead > 0 ? 'expired' : 'time', 'Synchronize the clock of this machine by NTP.')]
}

/** The first that is known, in seconds. */
export function clockOf (teams: readonly TeamKeys[]): number | null {
  return teams.find(({ clockAhead }) => clockAhead !== null)?.clockAhead ?? null
}
