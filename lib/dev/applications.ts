/** The Access applications of the emulator: paths, each with its AUD tag and policy. */
import { createHash } from 'node:crypto'
import { RESERVED_PATH } from '../access/protocol.js'
import { possiblePaths } from '../coverage/possible-paths.js'
import { prefixOf, type Prefix } from '../coverage/prefix.js'
import { OptionsInvalidError } from '../errors.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from '../policy/policy.js'
import { describe, readMembers, throwInvalidOption } from '../util/option-readers.js'

/** An application: a path and what is below it. */
export interface AccessApplication {
  /** Such as `/admin`: itself and all below it. */
  readonly path: string
  /** Its AUD tag, which several paths may share, as of one application. Default: one that follows from the path, and so stays the same. */
  readonly audience?: string
  /** Who may come in. Default: everybody who has a session or a service token. */
  readonly policy?: CfAccessPolicy
  /** What the login page calls it. Default: the path. */
  readonly name?: string
}

export interface Application {
  readonly path: string
  readonly audience: string
  readonly name: string
  readonly decide: CompiledPolicy | null
}

const MEMBERS = ['path', 'audience', 'policy', 'name']

const PATH = /^\/(?:[\w.~-]+(?:\/[\w.~-]+)*)?$/
const TAG = /^[\x21-\x7e]+$/

/** What no application ever sees. */
const RESERVED = prefixOf(RESERVED_PATH)

export class Applications {
  readonly list: readonly Application[]
  /** The longest path first. */
  readonly #byDepth: ReadonlyArray<{ readonly prefix: Prefix, readonly application: Application }>

  constructor (list: readonly Application[]) {
    this.list = list
    this.#byDepth = list.map(application => ({ prefix: prefixOf(application.path), application }))
      .sort((a, b) => b.prefix.depth - a.prefix.depth)
  }

  /**
   * Whose a request is: of everything its target could be read as, the longest path decides.
   * @returns `null`: nobody's, it is public. `'reserved'`: Access's own. `'unreadable'`: it cannot be told.
   */
  at (target: string): Application | null | 'reserved' | 'unreadable' {
    const paths = possiblePaths(target)
    if (paths === null) return 'unreadable'
    const isIn = (prefix: Prefix): boolean => [...paths].some(path => prefix.covers(path))
    if (isIn(RESERVED)) return 'reserved'
    return this.#byDepth.find(({ prefix }) => isIn(prefix))?.application ?? null
  }

  /** Which one a login is for: of the tag asked for, else the target's own, else the first. */
  forLogin (audience: string | null, target: string): Application {
    const own = this.at(target)
    const likely = own !== null && typeof own === 'object' ? [own, ...this.list] : this.list
    return likely.find(application => application.audience === audience) ?? likely[0]!
  }
}

/** @throws {OptionsInvalidError} with a sentence that names the application's member, what it is and what it takes */
export function readApplications (value: unknown): Applications {
  if (!Array.isArray(value) || value.length === 0) {
    return throwInvalidOption('applications', value, 'a list of applications such as { path: "/admin", policy: { include: { group: "admins" } } }')
  }
  const list = value.map((application, i) => readApplication(application, `applications[${i}]`))
  const paths = list.map(({ path }) => prefixOf(path).path)
  const repeated = paths.find((path, i) => paths.indexOf(path) !== i)
  if (repeated !== undefined) throw new OptionsInvalidError(`In "applications", the path ${repeated} is there twice; give each a path of its own.`)
  return new Applications(list)
}

function readApplication (value: unknown, name: string): Application {
  const given = readMembers(value, name, MEMBERS, 'an application such as { path: "/admin" }')
  const path = readText(given, name, 'path', undefined, PATH, 'a path such as "/admin", of letters, digits, "-", "_", "." and "~"')
  return {
    path,
    audience: readText(given, name, 'audience', audienceFor(path), TAG, 'an AUD tag'),
    name: readText(given, name, 'name', path, /\S/, 'text'),
    decide: given.has('policy') ? compilePolicy(given.get('policy'), `${name}.policy`) : null
  }
}

function readText (given: ReadonlyMap<string, unknown>, owner: string, name: string, otherwise: string | undefined, form: RegExp, takes: string): string {
  const value = given.has(name) ? given.get(name) : otherwise
  if (typeof value === 'string' && form.test(value)) return value
  throw new OptionsInvalidError(`${owner}.${name} is ${describe(value)}; it takes ${takes}.`)
}

/** As long as a real one. */
function audienceFor (path: string): string {
  return createHash('sha256').update(`fastify-cf-access ${path}`).digest('hex')
}
