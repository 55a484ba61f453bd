/** The response of get-identity, as Cloudflare documents it. */
import type { Claims } from './tokens.js'

/** The response for a token with these claims. */
export function getIdentityResponse (claims: Claims): Claims {
  return claims['sub'] === '' ? machineOf(claims) : userOf(claims)
}

function userOf ({ email, sub, country, iat }: Claims): Claims {
  return {
    ...COMMON,
    id: sub,
    name: String(email).split('@')[0],
    email,
    amr: ['pwd'],
    groups: [],
    idp: { id: 'b9f4d68e-5f1c-4b9e-9f0a-2f3a3f1f7c11', type: 'onetimepin' },
    geo: { country },
    user_uuid: sub,
    iat,
    devicePosture: {}
  }
}

function machineOf ({ common_name: name, iat }: Claims): Claims {
  const isService = String(name).endsWith('.access')
  return {
    ...COMMON,
    common_name: isService ? '' : name,
    auth_status: isService ? 'NONE' : 'SUCCESS',
    service_token_id: isService ? name : '',
    service_token_status: isService,
    iat
  }
}

const COMMON = {
  account_id: '121287a0c0de4b5a8d0e6f7a8b9c0d1e',
  ip: '127.0.0.1',
  auth_status: 'NONE',
  common_name: '',
  service_token_id: '',
  service_token_status: false,
  is_warp: false,
  is_gateway: false,
  version: 2
}
