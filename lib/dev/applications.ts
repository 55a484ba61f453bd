/** The Access applications of the emulator: paths, each with its AUD tag and policy. */
import { createHash } from 'node:crypto'
import { RESERVED_PATH } from '../access/protocol.js'
import { possiblePaths } from '../coverage/possible-paths.js'
import { prefixOf, type Prefix } from '../coverage/prefix.js'
import { OptionsInvalidError } from '../errors.js'
import { compilePolicy, type CompiledPolicy } from '../policy/policy.js'
import type { CfAccessPolicy } from '../policy/route-policy.js'
import { throwInvalidOption } from '../util/option-errors.js'
import { group, list, optional, text, type Reader } from '../util/option-readers.js'

/** An Access application: a path and what is below it. */
export interface AccessApplication {
  /** Such as `/admin`: this path and what is below it. */
  readonly path: string
  /** Its AUD tag. Several paths can share one. Default: derived from the path, so that it stays the same. */
  readonly audience?: string
  /** Who is allowed. Default: every user with a session and every service token. */
  readonly policy?: CfAccessPolicy
  /** Its name on the login page. Default: the path. */
  readonly name?: string
}

export interface Application {
  readonly path: string
  readonly audience: string
  readonly name: string
  readonly policy: CompiledPolicy | null
}

const LIST = 'a list of applications such as { path: "/admin", policy: { include: { group: "admins" } } }'

const readList = list(group({
  path: text(/^\/(?:[\w.~-]+(?:\/[\w.~-]+)*)?$/, 'a path such as "/admin", of letters, digits, "-", "_", "." and "~"'),
  audience: optional(text(/^[\x21-\x7e]+$/, 'an AUD tag')),
  name: optional(text(/\S/, 'text')),
  policy: optional(compilePolicy)
}), LIST)

/** Paths that the emulator answers itself. */
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
   * The application that a request belongs to: the longest path that covers a possible path of its target.
   * @returns `null`: none, the path is public; `'reserved'`: a path of Access itself; `'unreadable'`: the target is
   * ambiguous
   */
  at (target: string): Application | null | 'reserved' | 'unreadable' {
    const paths = possiblePaths(target)
    if (paths === null) return 'unreadable'
    const isIn = (prefix: Prefix): boolean => [...paths].some(path => prefix.covers(path))
    if (isIn(RESERVED)) return 'reserved'
    return this.#byDepth.find(({ prefix }) => isIn(prefix))?.application ?? null
  }

  /** The application that a login is for: the one with this AUD tag, else the target's own, else the first. */
  forLogin (audience: string | null, target: string): Application {
    const own = this.at(target)
    const likely = own !== null && typeof own === 'object' ? [own, ...this.list] : this.list
    return likely.find(application => application.audience === audience) ?? likely[0]!
  }
}

/** @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes */
export const readApplications: Reader<Applications> = (value, path) => {
  const list = readList(value, path).map(({ audience, name, ...application }) =>
    ({ ...application, audience: audience ?? audienceFor(application.path), name: name ?? application.path }))
  if (list.length === 0) return throwInvalidOption(path, value, LIST)
  const paths = list.map(application => prefixOf(application.path).path)
  const repeated = paths.find((own, i) => paths.indexOf(own) !== i)
  if (repeated !== undefined) {
    throw new OptionsInvalidError(
      `Option "${path}" has the path ${repeated} twice; give each application its own path.`)
  }
  return new Applications(list)
}

/** As long as a real one. */
function audienceFor (path: string): string {
  return createHash('sha256').update(`fastify-cf-access ${path}`).digest('hex')
}
