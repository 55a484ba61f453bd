/** Why requests are rejected: each reason with its meaning and what to do. For operators, never for clients. */

/** The meaning of a reason, and what to do about it. */
export interface CfAccessReasonText {
  /** What was found. */
  readonly meaning: string
  /** What an operator can do. */
  readonly cure: string
}

/** Why a request is rejected, as one word. It goes to the log and the channel; clients never learn it. */
export type CfAccessReason =
  | 'missing' | 'expired' | 'age' | 'audience' | 'host' | 'issuer' | 'kid' | 'signature' | 'type' | 'time'
  | 'identity' | 'algorithm' | 'header' | 'malformed' | 'revoked' | 'signed-out' | 'policy' | 'cross-origin'

/** The meaning of each reason, and what to do; the same table as in `docs/troubleshooting.md`. */
export const REASONS: Readonly<Record<CfAccessReason, CfAccessReasonText>> = Object.freeze({
  missing: {
    meaning: 'The request has no token, in the header or in the cookie.',
    cure: 'Open your app by the hostname that Access protects. If you did, no Access application covers this path, or ' +
      'a proxy removes the header Cf-Access-Jwt-Assertion. Health checks that do not come through Access need ' +
      'config: { cfAccess: false } on their route.'
  },
  expired: {
    meaning: 'The token is past its exp.',
    cure: 'The user has to log in again. If new tokens are rejected too, the clock of this machine is ahead: ' +
      'synchronize it by NTP.'
  },
  age: {
    meaning: 'The token was issued longer ago than maxTokenAge.',
    cure: 'The user has to log in again. Set maxTokenAge no shorter than the session duration of the Access application.'
  },
  audience: {
    meaning: 'The token is for another Access application: its aud has no AUD tag of this registration.',
    cure: 'Copy the Application Audience (AUD) Tag from the settings of the Access application that covers this ' +
      'path. Where several cover it, the one with the longest path counts; a list of tags accepts several.'
  },
  host: {
    meaning: 'The hostname of the request has no entry in audience.',
    cure: 'Add the hostname to audience. Behind a proxy that changes the Host header, set trustProxy of Fastify.'
  },
  issuer: {
    meaning: 'The token is of another team: its iss is not the issuer of a team in teamDomain.',
    cure: 'Set teamDomain to the team name in Zero Trust > Settings. After a team is renamed, list both names.'
  },
  kid: {
    meaning: 'The token names a key that the team does not publish, or none.',
    cure: 'If the team has just rotated its keys, wait for the next refresh (keys.cooldown). Else the token is too ' +
      'old, or of another Access emulator: log in again.'
  },
  signature: {
    meaning: 'The signature does not match the key that the token names.',
    cure: 'The token was changed on its way or is forged. If all requests have this reason, look for a proxy that ' +
      'changes the header or the cookie.'
  },
  type: {
    meaning: 'The team has signed this, but it is no application token: its type is not app.',
    cure: 'Send the application token: the header Cf-Access-Jwt-Assertion or the cookie CF_Authorization of your ' +
      'app\'s hostname, not the one of the team domain, and nothing from the URL of the login page.'
  },
  time: {
    meaning: 'The token is not valid yet, or has no valid times.',
    cure: 'The clock of this machine is behind: synchronize it by NTP, or allow for it with clockTolerance.'
  },
  identity: {
    meaning: 'The claims name no user, service or certificate, or another one than the first registration has admitted.',
    cure: 'Where several registrations guard a path, log in to both applications as the same user. Else report the ' +
      'names of the claims, without their values, as a bug.'
  },
  algorithm: {
    meaning: 'The header of the token names another algorithm than RS256.',
    cure: 'Access signs with RS256 only. This token is of another issuer, or forged.'
  },
  header: {
    meaning: 'The header of the token has members that Access does not send.',
    cure: 'This token is of another issuer, or forged.'
  },
  malformed: {
    meaning: 'The text is not a JWT.',
    cure: 'Look for a proxy that cuts, joins or encodes the header. A token has three parts with dots between them, ' +
      'without quotes and without Bearer.'
  },
  revoked: {
    meaning: 'Access no longer accepts the token: the session was ended or the user was removed.',
    cure: 'The user has to log in again.'
  },
  'signed-out': {
    meaning: 'Your app has ended this session with signOut().',
    cure: 'The user has to log in again. Send the browser to logoutUrl() after signOut(), so that Access ends its ' +
      'session too.'
  },
  policy: {
    meaning: 'The token is valid, but a policy denies this identity.',
    cure: 'The rule says which part of the policy denies. At the log level debug the selectors are listed, and ' +
      'whether Access told the groups of the user.'
  },
  'cross-origin': {
    meaning: 'A page of another origin sent a request that can change something, or opened a WebSocket.',
    cure: 'If the origin is one of yours, add it to trustedOrigins. If it is the one in the address bar, a proxy ' +
      'changes the Host header: set trustProxy of Fastify.'
  }
})
