/** The details of an identity: the validated answer of Access's get-identity endpoint. */
import { IdentityUnavailableError } from '../errors.js'
import { freezeDeep } from '../util/freeze.js'
import { isObject } from '../util/is-object.js'

/** A group at the identity provider. Providers differ in which members they send. */
export interface CfAccessGroup {
  /** Its ID at the identity provider. */
  readonly id: string | undefined
  /** Its name at the identity provider. */
  readonly name: string | undefined
  /** Its e-mail address, as groups of Google Workspace have. */
  readonly email: string | undefined
}

interface CommonDetails {
  /** The country of the login as Access saw it: two letters, ISO 3166. */
  readonly country: string | undefined
  /** The result of each device posture check, by its ID, as Access sends it. */
  readonly devicePosture: Readonly<Record<string, unknown>> | undefined
  /** The IP address of the login as Access saw it. */
  readonly ip: string | undefined
  /** Whether the device runs the Cloudflare One client (WARP). */
  readonly isWarp: boolean | undefined
  /** Whether the device's traffic goes through the organization's Gateway. */
  readonly isGateway: boolean | undefined
  /** The whole answer, unchanged. */
  readonly answer: Readonly<Record<string, unknown>>
}

/**
 * What Access knows of a user. A member that Access does not send is `undefined`. Reading a malformed member throws
 * `IdentityUnavailableError`; it is not enumerable, so `JSON.stringify`, `inspect` and a spread leave it out.
 * `answer` has it unchanged.
 */
export interface CfAccessUserDetails extends CommonDetails {
  /** As the identity provider spells it. */
  readonly email: string
  /** The user's name. */
  readonly name: string | undefined
  /** Cloudflare's ID of the user in this account; also the token's `sub`. */
  readonly userId: string | undefined
  /** `undefined`: unknown, which is not the same as none. */
  readonly groups: readonly CfAccessGroup[] | undefined
  /** Where the user logged in. */
  readonly identityProvider: {
    /** Its ID in the account. */
    readonly id: string | undefined
    /** Its kind, such as `azureAD`. */
    readonly type: string | undefined
  } | undefined
  /** How the user proved who they are, such as `mfa` (RFC 8176). */
  readonly authMethods: readonly string[] | undefined
  /** What a SAML identity provider sent. */
  readonly samlAttributes: Readonly<Record<string, unknown>> | undefined
  /** The claims that an OIDC identity provider sent, as far as Access is configured to keep them. */
  readonly oidcFields: Readonly<Record<string, unknown>> | undefined
}

/** What Access knows of a service or a certificate. Malformed members are handled as for a user. */
export interface CfAccessMachineDetails extends CommonDetails {
  /** Cloudflare's ID of the service token, which is not its client ID. */
  readonly serviceTokenId: string | undefined
  /** A service's client ID, or a certificate's common name. */
  readonly commonName: string | undefined
}

/** What Access knows of an identity. */
export type CfAccessDetails = CfAccessUserDetails | CfAccessMachineDetails

type Json = Readonly<Record<string, unknown>>

/** A reader for each member of an answer. */
type Readers<Details> = { readonly [Name in keyof Details]: () => Details[Name] }

// Deeper than any documented answer, and shallow enough for every recursive function.
const MAX_DEPTH = 32

// Seconds. A malformed member rarely becomes right soon, and an answer is cached for a minute by default.
const RETRY_AFTER = 60

/**
 * Reads the answer about a user. Its identity is checked at once, each other member when it is used.
 * @throws {Error} when the answer is about another identity.
 * @see Cloudflare docs: Application token, User identity
 */
export function readUserDetails (answer: Json, email: string): CfAccessUserDetails {
  const known = readText(answer, 'email') ?? ''
  if (known.toLowerCase() !== email.toLowerCase()) throw new Error('the answer is about another identity')
  return assemble(userReaders(answer))
}

/**
 * Reads the answer about a service or a certificate. An answer without either name is accepted: Access documents the
 * names for service tokens only, and the answer belongs to the token that was sent.
 * @param name its client ID or common name
 * @throws {Error} when it is about another identity.
 */
export function readMachineDetails (answer: Json, name: string): CfAccessMachineDetails {
  const names =
    [readText(answer, 'service_token_id'), readText(answer, 'common_name')].filter(known => known !== undefined)
  const isOther = names.length > 0 && !names.includes(name)
  if (isOther || readText(answer, 'email') !== undefined) throw new Error('the answer is about another identity')
  return assemble(machineReaders(answer))
}

/**
 * Checks every member of an answer about a user.
 * @throws {Error} for the first malformed member.
 */
export function checkUserAnswer (answer: Json): void {
  for (const read of Object.values(userReaders(answer))) frozen(read())
}

function userReaders (answer: Json): Readers<CfAccessUserDetails> {
  return {
    ...commonReaders(answer),
    email: () => answer['email'] as string, // compared above
    name: () => readText(answer, 'name'),
    userId: () => readText(answer, 'user_uuid'),
    groups: () => readList(answer, 'groups')?.map(readGroup),
    identityProvider: () => readProvider(readObject(answer, 'idp')),
    authMethods: () => readList(answer, 'amr')?.map(method => typeof method === 'string' ? method : wrong('amr')),
    samlAttributes: () => readObject(answer, 'saml_attributes'),
    oidcFields: () => readObject(answer, 'oidc_fields')
  }
}

function machineReaders (answer: Json): Readers<CfAccessMachineDetails> {
  return {
    ...commonReaders(answer),
    serviceTokenId: () => readText(answer, 'service_token_id'),
    commonName: () => readText(answer, 'common_name')
  }
}

function commonReaders (answer: Json): Readers<CommonDetails> {
  return {
    country: () => readText(readObject(answer, 'geo') ?? {}, 'country'),
    devicePosture: () => readObject(answer, 'devicePosture'),
    ip: () => readText(answer, 'ip'),
    isWarp: () => readBoolean(answer, 'is_warp'),
    isGateway: () => readBoolean(answer, 'is_gateway'),
    answer: () => answer
  }
}

/** A member that can be read becomes a plain one. A malformed one throws when it is used, and affects no other. */
function assemble<Details extends CfAccessDetails> (readers: Readers<Details>): Details {
  const details = {}
  for (const name of Object.keys(readers) as Array<keyof Details>) {
    Object.defineProperty(details, name, define(readers[name]))
  }
  return Object.freeze(details) as Details
}

function define (read: () => unknown): PropertyDescriptor {
  try {
    return { value: frozen(read()), enumerable: true }
  } catch (error) {
    const { message } = error as Error
    return { get: () => { throw new IdentityUnavailableError(RETRY_AFTER, message) } }
  }
}

function frozen (value: unknown): unknown {
  if (!freezeDeep(value, MAX_DEPTH)) throw new Error('the answer is nested too deeply')
  return value
}

function readProvider (idp: Json | undefined): CfAccessUserDetails['identityProvider'] {
  return idp && { id: readText(idp, 'id'), type: readText(idp, 'type') }
}

function readGroup (group: unknown): CfAccessGroup {
  if (typeof group === 'string') return { id: undefined, name: group, email: undefined }
  if (!isObject(group)) return wrong('groups')
  return { id: readText(group, 'id'), name: readText(group, 'name'), email: readText(group, 'email') }
}

/** Access writes "none" as an absent member, `null` or the empty string. */
function readText (owner: Json, name: string): string | undefined {
  const value = owner[name] ?? ''
  if (typeof value !== 'string') return wrong(name)
  return value === '' ? undefined : value
}

function readBoolean (owner: Json, name: string): boolean | undefined {
  const value = owner[name] ?? undefined
  return value === undefined || typeof value === 'boolean' ? value : wrong(name)
}

function readList (owner: Json, name: string): readonly unknown[] | undefined {
  const value = owner[name] ?? undefined
  return value === undefined || Array.isArray(value) ? value : wrong(name)
}

function readObject (owner: Json, name: string): Json | undefined {
  const value = owner[name] ?? undefined
  return value === undefined || isObject(value) ? value : wrong(name)
}

function wrong (name: string): never {
  throw new Error(`the answer's "${name}" is not as Access documents it`)
}
