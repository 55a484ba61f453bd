/** The users of the emulator, and what Access would know of them. */
import { OptionsInvalidError } from '../errors.js'
import { checkUserAnswer, readUserDetails } from '../identity/details.js'
import { getIdentityResponse } from '../testing/get-identity.js'
import type { Claims } from '../testing/tokens.js'
import { isObject } from '../util/is-object.js'
import { throwInvalidOption } from '../util/option-errors.js'
import {
  group, list, optional, readOptions, text, withDefault, type Read, type Reader
} from '../util/option-readers.js'

/** A user to sign in as. */
export interface AccessUser {
  /** The user's address. */
  readonly email: string
  /** Default: the part of the address before the `@`. */
  readonly name?: string
  /** As the identity provider sends them: names, or objects `{ id, name, email }`. */
  readonly groups?: ReadonlyArray<string | Readonly<Partial<Record<'id' | 'name' | 'email', string>>>>
  /** Two letters. Default `DE`. */
  readonly country?: string
  /** Claims to add to the token, such as `{ custom: { department: 'finance' } }`. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Other members of the get-identity response: `idp`, `amr`, `devicePosture` and so on. */
  readonly identity?: Readonly<Record<string, unknown>>
}

// Claims that cannot be overridden: they identify the token.
const RESERVED = ['aud', 'country', 'email', 'exp', 'iat', 'identity_nonce', 'iss', 'nbf', 'sub', 'type']

const EMAIL = /^[^\s@\p{Cc}]{1,64}@[^\s@\p{Cc}]{1,255}$/u

const readGroups: Reader<NonNullable<AccessUser['groups']>> = (value, path) =>
  Array.isArray(value)
    ? value
    : throwInvalidOption(path, value, 'a list of groups, each a name or an object { id, name, email }')

const readObject = (expected: string): Reader<Claims> => (value, path) => isObject(value)
  ? value
  : throwInvalidOption(path, value, expected)

const readClaims: Reader<Claims> = (value, path) => {
  const claims = readObject('an object of claims')(value, path)
  const reserved = RESERVED.find(claim => Object.hasOwn(claims, claim))
  if (reserved === undefined) return claims
  throw new OptionsInvalidError(`Option "${path}" has "${reserved}", which the emulator sets itself; leave it out.`)
}

const USER_READERS = {
  email: text(EMAIL, 'an e-mail address'),
  name: optional(text(/./s, 'text')),
  groups: optional(readGroups),
  country: optional(text(/^[A-Z]{2}$/, 'a two-letter country code such as "DE"')),
  claims: withDefault(readClaims, {}),
  identity: withDefault(readObject('an object'), {})
}

const EXAMPLE = 'such as { email: "a@acme.com", groups: ["admins"] }'
const readList = list(group(USER_READERS, `a user ${EXAMPLE}`), `a list of users ${EXAMPLE}`)

/** A user as configured; `null` for what is not. */
export type User = Read<typeof USER_READERS>

export class Users {
  readonly list: readonly User[]
  readonly #byEmail: ReadonlyMap<string, User>

  constructor (list: readonly User[]) {
    this.list = list
    this.#byEmail = new Map(list.map(user => [user.email.toLowerCase(), user]))
  }

  /** The user of this address. An unknown address becomes a user with no other data. */
  find (email: string): User {
    return this.#byEmail.get(email.toLowerCase()) ?? readOptions({ email }, USER_READERS)
  }

  /** The get-identity response for a token with these claims. */
  answerOf (claims: Claims): Claims {
    return { ...getIdentityResponse(claims), ...this.knowledgeOf(claims) }
  }

  /** The configured part of that response. */
  knowledgeOf ({ email }: Claims): Claims {
    if (typeof email !== 'string') return {}
    const { name, groups, identity } = this.find(email)
    return { ...(name !== null && { name }), ...(groups !== null && { groups }), ...identity }
  }
}

export function isEmail (value: unknown): value is string {
  return typeof value === 'string' && EMAIL.test(value)
}

/** @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes */
export const readUsers: Reader<Users> = (value, path) => {
  const users = new Users(readList(value, path))
  const emails = users.list.map(({ email }) => email.toLowerCase())
  const repeated = emails.find((email, i) => emails.indexOf(email) !== i)
  if (repeated !== undefined) {
    throw new OptionsInvalidError(`Option "${path}" has ${repeated} twice; give each user its own address.`)
  }
  for (const { email } of users.list) checkAnswer(users, email)
  return users
}

/** The plugin must be able to read the get-identity response of each user. */
function checkAnswer (users: Users, email: string): void {
  try {
    const answer = users.answerOf({ email })
    readUserDetails(answer, email)
    checkUserAnswer(answer)
  } catch (error) {
    throw new OptionsInvalidError(
      `Option "users": the get-identity response for ${email} is not valid: ${(error as Error).message}.`)
  }
}
