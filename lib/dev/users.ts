/** Who can be signed in as, and what Access would know of them. */
import { OptionsInvalidError } from '../errors.js'
import { checkUserAnswer, readUserDetails } from '../identity/details.js'
import { getIdentityResponse } from '../testing/get-identity.js'
import type { Claims } from '../testing/tokens.js'
import { isObject } from '../util/is-object.js'
import { describe, readMembers, throwInvalidOption } from '../util/option-readers.js'

/** A user one can be. */
export interface AccessUser {
  /** Their address. */
  readonly email: string
  /** Default: what is in front of the address's `@`. */
  readonly name?: string
  /** As the identity provider would tell them: names, or objects `{ id, name, email }`. */
  readonly groups?: ReadonlyArray<string | Readonly<Partial<Record<'id' | 'name' | 'email', string>>>>
  /** Two letters. Default `DE`. */
  readonly country?: string
  /** Claims to add to the token, such as `{ custom: { department: 'finance' } }`. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** What get-identity tells beside: `idp`, `amr`, `devicePosture` and so on. */
  readonly identity?: Readonly<Record<string, unknown>>
}

const MEMBERS = ['email', 'name', 'groups', 'country', 'claims', 'identity']

// Claims that cannot be overridden: they identify the token.
const RESERVED = ['aud', 'country', 'email', 'exp', 'iat', 'identity_nonce', 'iss', 'nbf', 'sub', 'type']

const EMAIL = /^[^\s@\p{Cc}]{1,64}@[^\s@\p{Cc}]{1,255}$/u
const COUNTRY = /^[A-Z]{2}$/

export class Users {
  readonly list: readonly AccessUser[]
  readonly #byEmail: ReadonlyMap<string, AccessUser>

  constructor (list: readonly AccessUser[]) {
    this.list = list
    this.#byEmail = new Map(list.map(user => [user.email.toLowerCase(), user]))
  }

  /** The user of this address. An unknown address becomes a user with no other data. */
  find (email: string): AccessUser {
    return this.#byEmail.get(email.toLowerCase()) ?? { email }
  }

  /** What get-identity tells of whoever the claims speak of. */
  answerOf (claims: Claims): Claims {
    return { ...getIdentityResponse(claims), ...this.knowledgeOf(claims) }
  }

  /** The part of it that was configured. */
  knowledgeOf ({ email }: Claims): Claims {
    if (typeof email !== 'string') return {}
    const { name, groups, identity } = this.find(email)
    return { ...(name !== undefined && { name }), ...(groups !== undefined && { groups }), ...identity }
  }
}

export function isEmail (value: unknown): value is string {
  return typeof value === 'string' && EMAIL.test(value)
}

/**
 * @throws {OptionsInvalidError} with a sentence that names the user's member, what it is and what it takes
 */
export function readUsers (value: unknown): Users {
  if (!Array.isArray(value)) return throwInvalidOption('users', value, 'a list of users such as { email: "a@acme.com", groups: ["admins"] }')
  const users = new Users(value.map((user, i) => readUser(user, `users[${i}]`)))
  const emails = users.list.map(({ email }) => email.toLowerCase())
  const repeated = emails.find((email, i) => emails.indexOf(email) !== i)
  if (repeated !== undefined) throw new OptionsInvalidError(`In "users", ${repeated} is there twice; give each user an address of their own.`)
  for (const { email } of users.list) checkAnswer(users, email)
  return users
}

function readUser (value: unknown, name: string): AccessUser {
  const given = readMembers(value, name, MEMBERS, 'a user such as { email: "a@acme.com", groups: ["admins"] }')
  check(given, name, 'email', true, isEmail, 'an e-mail address')
  check(given, name, 'name', false, isText, 'text')
  check(given, name, 'groups', false, Array.isArray, 'a list of groups, each a name or an object { id, name, email }')
  check(given, name, 'country', false, country => isText(country) && COUNTRY.test(country), 'a two-letter country code such as "DE"')
  check(given, name, 'claims', false, isObject, 'an object of claims')
  check(given, name, 'identity', false, isObject, 'an object')
  const reserved = RESERVED.find(claim => Object.hasOwn(given.get('claims') ?? {}, claim))
  if (reserved !== undefined) throw new OptionsInvalidError(`${name}.claims has "${reserved}", which is the emulator's own to say; leave it out.`)
  return value as AccessUser
}

function check (given: ReadonlyMap<string, unknown>, owner: string, name: string, isRequired: boolean, isGood: (value: unknown) => boolean, takes: string): void {
  if (!isRequired && !given.has(name)) return
  const value = given.get(name)
  if (!isGood(value)) throw new OptionsInvalidError(`${owner}.${name} is ${describe(value)}; it takes ${takes}.`)
}

/** The plugin must be able to read what it will be told. */
function checkAnswer (users: Users, email: string): void {
  try {
    const answer = users.answerOf({ email })
    readUserDetails(answer, email)
    checkUserAnswer(answer)
  } catch (error) {
    throw new OptionsInvalidError(`In "users", ${email} cannot be told of: ${(error as Error).message}.`)
  }
}

function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
