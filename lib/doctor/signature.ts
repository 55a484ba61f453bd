/** Checks the header of a token, its key and its signature. */
import { verify } from 'node:crypto'
import type { PublishedKey } from '../keys/jwks.js'
import { isPlainHeader } from '../token/jws.js'
import { isKid } from '../util/kid.js'
import { correctFirst, failed, passed, rejected, type Check } from './check.js'
import type { Json, TokenForm } from './form.js'
import type { TeamKeys } from './keys.js'
import { HEX, show } from './wording.js'

const ALGORITHM = /^(?:none|[HRPE]S(?:256|384|512)|ES256K|EdDSA)$/i

/** @param issuer the `iss` of the token, which says whose key it names */
export function checkSignature (form: TokenForm, teams: readonly TeamKeys[], issuer: unknown): Check[] {
  const { header } = form
  if (header === null) return []
  const known = teams.filter(({ team }) => team.issuer === issuer)
  const candidates = known.length > 0 ? known : teams
  const key = isKid(header['kid']) ? findKey(candidates, header['kid']) : undefined
  return [
    checkAlgorithm(header['alg']), checkHeader(header), checkKid(header['kid'], key, candidates),
    verifySignature(form, key)
  ]
}

function findKey (teams: readonly TeamKeys[], kid: string): PublishedKey | undefined {
  return teams.map(({ keys }) => keys?.get(kid)).find(key => key !== undefined)
}

function checkAlgorithm (alg: unknown): Check {
  return alg === 'RS256'
    ? passed('alg', 'The algorithm is RS256.')
    : rejected('alg', `The algorithm is not RS256 but ${show(alg, ALGORITHM)}.`, 'algorithm')
}

function checkHeader (header: Json): Check {
  return isPlainHeader(header)
    ? passed('header', 'The header has no members that Access does not send.')
    : rejected('header', 'The header has a typ other than JWT, or one of crit, b64, zip and cty.', 'header')
}

function checkKid (kid: unknown, key: PublishedKey | undefined, teams: readonly TeamKeys[]): Check {
  if (!isKid(kid)) return rejected('kid', 'The header names no key: its kid is missing or malformed.', 'kid')
  const shown = show(kid, HEX)
  if (key !== undefined) return passed('kid', `The team publishes the key that the token names: ${shown}.`)
  return teams.every(({ keys }) => keys === null)
    ? failed('kid', 'The key that the token names cannot be looked up without the keys of the team.',
      correctFirst('keys'))
    : rejected('kid', 'The team does not publish the key that the token names, which was rotated out or is of ' +
      `another team: ${shown}.`, 'kid')
}

function verifySignature ({ signed, signature }: TokenForm, key: PublishedKey | undefined): Check {
  if (key === undefined) {
    return failed('signature', 'The signature cannot be checked without its key.', correctFirst('kid'))
  }
  if (verify('RSA-SHA256', Buffer.from(signed, 'latin1'), key.key, signature)) {
    return passed('signature', 'The signature matches the key.')
  }
  const length = key.key.asymmetricKeyDetails!.modulusLength! / 8
  const text = signature.length === length
    ? 'The signature does not match the key.'
    : `The signature has ${signature.length} bytes instead of ${length}: the token is cut off or was joined.`
  return rejected('signature', text, 'signature')
}
