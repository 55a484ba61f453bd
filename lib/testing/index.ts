/**
 * A team emulator for tests and development: real keys, real tokens, a real endpoint on loopback.
 * @module
 */
export { createAccessTeam, type AccessTeam, type AccessTeamOptions, type AccessTeamRequest } from './team.js'
export type { Endpoint, Outage } from './endpoints.js'
export type { FaultyAnswer } from './faults.js'
export type {
  CertificateTokenOptions, Claims, Json, ServiceTokenOptions, TokenOptions, UserTokenOptions
} from './tokens.js'
