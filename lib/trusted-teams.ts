/** The clients of the endpoints of each team that is trusted. */
import type { Team } from './access/team.js'
import { GetIdentityClient } from './identity/get-identity.js'
import type { SharedStore } from './identity/shared-store.js'
import { acquireKeySet, releaseKeySet, type CfAccessKeyStatus, type KeyObserver } from './keys/key-set.js'
import type { TokenSettings } from './token-options.js'
import type { TrustedTeam } from './token/token-verifier.js'

/** The state of one team's keys. */
export interface CfAccessTeamStatus extends CfAccessKeyStatus {
  /** The team's address, which is also the issuer of its tokens. */
  readonly team: string
}

/** Fetches nothing yet. Key sets are shared by the whole process. */
export function trustTeams (
  settings: TokenSettings, observer: KeyObserver, store: SharedStore | null
): readonly TrustedTeam[] {
  const { teams, fetch, details, keyTimesFor, initialKeys: initial } = settings
  return teams.map((team: Team) => ({
    team,
    keySet: acquireKeySet({ url: team.certsUrl, fetch, times: keyTimesFor(team), initial }, observer),
    getIdentity: new GetIdentityClient(team.identityUrl, fetch, details, store)
  }))
}

/** Starts fetching the keys in the background. Deferred: the first fetch of a process loads many modules. */
export function prefetchKeys (teams: readonly TrustedTeam[]): void {
  setImmediate(() => teams.forEach(({ keySet }) => keySet.prefetch()))
}

/** Starts a refresh of old keys: an app that gets no requests until it is ready would otherwise never have keys. */
export function statusOf (teams: readonly TrustedTeam[]): readonly CfAccessTeamStatus[] {
  return teams.map(({ team, keySet }) => {
    keySet.prefetch()
    return { team: team.issuer, ...keySet.status() }
  })
}

/** Ends running requests. Requests that wait for keys fail. */
export function releaseTeams (teams: readonly TrustedTeam[], observer: KeyObserver): void {
  for (const { keySet, getIdentity } of teams) {
    releaseKeySet(keySet, observer)
    getIdentity.close()
  }
}
