/**
 * A stand-in team for tests and development: real keys, real tokens, a real endpoint on loopback.
 * @module
 */
export { createAccessTeam, type AccessTeam, type AccessTeamRequest, type Endpoint, type Outage } from './team.js'
export type { FaultyAnswer } from './faults.js'
export type { CertificateTokenOptions, Json, ServiceTokenOptions, TokenOptions, UserTokenOptions } from './tokens.js'
