/** Who can be signed in as, and what Access would know of them. */
import { OptionsInvalidError } from '../errors.js'
import { checkUserAnswer, readUserDetails } from '../identity/details.js'
import { getIdentityResponse } from '../testing/get-identity.js'
import type { Claims } from '../testing/tokens.js'
import { isObject } from '../util/is-object.js'
import { describe, readMembers, throwInvalidOption } from '../util/option-readers.js'

/** A person one can be. */
export interface AccessPerson {
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

// Without them a token would be none, or somebody else's.
const RESERVED = ['aud', 'country', 'email', 'exp', 'iat', 'identity_nonce', 'iss', 'nbf', 'sub', 'type']

const EMAIL = /^[^\s@\p{Cc}]{1,64}@[^\s@\p{Cc}]{1,255}$/u
const COUNTRY = /^[A-Z]{2}$/

export class People {
  readonly list: readonly AccessPerson[]
  readonly #byEmail: ReadonlyMap<string, AccessPerson>

  constructor (list: readonly AccessPerson[]) {
    this.list = list
    this.#byEmail = new Map(list.map(person => [person.email.toLowerCase(), person]))
  }

  /** The person of this address: one nobody told us of is just that address. */
  find (email: string): AccessPerson {
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
 * @throws {OptionsInvalidError} with a sentence that names the person's member, what it is and what it takes
 */
export function readPeople (value: unknown): People {
  if (!Array.isArray(value)) return throwInvalidOption('people', value, 'a list of people such as { email: "a@acme.com", groups: ["admins"] }')
  const people = new People(value.map((person, i) => readPerson(person, `people[${i}]`)))
  const emails = people.list.map(({ email }) => email.toLowerCase())
  const repeated = emails.find((email, i) => emails.indexOf(email) !== i)
  if (repeated !== undefined) throw new OptionsInvalidError(`In "people", ${repeated} is there twice; give each person an address of their own.`)
  for (const { email } of people.list) checkAnswer(people, email)
  return people
}

function readPerson (value: unknown, name: string): AccessPerson {
  const given = readMembers(value, name, MEMBERS, 'a person such as { email: "a@acme.com", groups: ["admins"] }')
  check(given, name, 'email', true, isEmail, 'an e-mail address')
  check(given, name, 'name', false, isText, 'text')
  check(given, name, 'groups', false, Array.isArray, 'a list of groups, each a name or an object { id, name, email }')
  check(given, name, 'country', false, country => isText(country) && COUNTRY.test(country), 'a two-letter country code such as "DE"')
  check(given, name, 'claims', false, isObject, 'an object of claims')
  check(given, name, 'identity', false, isObject, 'an object')
  const reserved = RESERVED.find(claim => Object.hasOwn(given.get('claims') ?? {}, claim))
  if (reserved !== undefined) throw new OptionsInvalidError(`${name}.claims has "${reserved}", which is the stand-in's own to say; leave it out.`)
  return value as AccessPerson
}

function check (given: ReadonlyMap<string, unknown>, owner: string, name: string, isRequired: boolean, isGood: (value: unknown) => boolean, takes: string): void {
  if (!isRequired && !given.has(name)) return
  const value = given.get(name)
  if (!isGood(value)) throw new OptionsInvalidError(`${owner}.${name} is ${describe(value)}; it takes ${takes}.`)
}

/** The plugin must be able to read what it will be told. */
function checkAnswer (people: People, email: string): void {
  try {
    const answer = people.answerOf({ email })
    readUserDetails(answer, email)
    checkUserAnswer(answer)
  } catch (error) {
    throw new OptionsInvalidError(`In "people", ${email} cannot be told of: ${(error as Error).message}.`)
  }
}

function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
