/**
 * A stand-in for Cloudflare's edge on a developer's machine: real logins by nobody in particular.
 * @module
 */
export { createAccessEdge, type AccessEdge } from './edge.js'
export type { AccessEdgeOptions, AccessServiceToken } from './options.js'
export type { AccessApplication } from './applications.js'
export type { AccessPerson } from './people.js'
