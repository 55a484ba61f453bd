/**
 * An emulator for Cloudflare's edge on a developer's machine: real logins of made-up users.
 * @module
 */
export { createAccessEdge, type AccessEdge } from './edge.js'
export type { AccessEdgeOptions, AccessServiceToken } from './options.js'
export type { AccessApplication } from './applications.js'
export type { AccessUser } from './users.js'
