/** Trouble with the network in words: what happened, and what to do about it. */
import { AnswerTooLargeError, AnswerTooLateError, explain } from '../util/fetch-bounded.js'

export type Env = Readonly<Record<string, string | undefined>>

export interface Trouble {
  readonly kind: 'name' | 'refused' | 'unreachable' | 'closed' | 'late' | 'certificate' | 'tls' | 'size' | 'other'
  /** What happened, to follow "There is no answer from HOST: ". */
  readonly text: string
  readonly todo: string
}

type Kind = Trouble['kind']

const CODES: ReadonlyArray<readonly [kind: Kind, codes: readonly string[]]> = [
  ['name', ['ENOTFOUND', 'EAI_AGAIN']],
  ['refused', ['ECONNREFUSED']],
  ['unreachable', ['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL']],
  ['closed', ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']],
  ['late', ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']],
  ['certificate', [
    'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID',
    'CERT_UNTRUSTED', 'CERT_SIGNATURE_FAILURE', 'ERR_TLS_CERT_ALTNAME_INVALID'
  ]]
]

const WORDS: Readonly<Record<Kind, { readonly text: string, readonly todo: string }>> = {
  name: {
    text: 'its name cannot be resolved',
    todo: 'Check the spelling of the name, and the DNS settings of this machine.'
  },
  refused: {
    text: 'the connection was refused',
    todo: 'Nothing listens at this address and port, or a firewall rejects the connection.'
  },
  unreachable: {
    text: 'the host is unreachable',
    todo: 'Check the network of this machine and the egress rules of its firewall or container.'
  },
  closed: {
    text: 'the connection was closed without an answer',
    todo: 'Look for a firewall or proxy that closes connections, and check the scheme and the port.'
  },
  late: {
    text: 'there was no whole answer in time',
    todo: 'Check the network of this machine and the egress rules of its firewall or container, which can drop packets.'
  },
  certificate: {
    text: 'the TLS certificate is not trusted',
    todo: 'A proxy that inspects TLS presents its own certificate: set NODE_EXTRA_CA_CERTS to the file of its CA ' +
      'certificate. Never turn verification off. If the certificate is said to be expired or not valid yet, check ' +
      'the clock of this machine too.'
  },
  tls: {
    text: 'the other side does not speak TLS as expected',
    todo: 'Check the scheme and the port: https:// needs a server with TLS.'
  },
  size: {
    text: 'the answer is larger than 256 KiB',
    todo: 'Another server answers in its place: look for a proxy.'
  },
  other: {
    text: 'the request failed',
    todo: 'Check the network of this machine and its proxy settings.'
  }
}

/** @param env tells whether a proxy is meant to be used */
export function troubleOf (error: unknown, env: Env): Trouble {
  const code = codeOf(error)
  const kind = kindOf(error, code)
  const { text, todo } = WORDS[kind]
  const detail = code ?? (kind === 'other' ? explain(error) : null)
  return { kind, text: detail === null ? text : `${text} (${detail})`, todo: todo + proxyHint(env) }
}

function kindOf (error: unknown, code: string | null): Kind {
  if (error instanceof AnswerTooLateError) return 'late'
  if (error instanceof AnswerTooLargeError) return 'size'
  if (code === null) return 'other'
  const known = CODES.find(([, codes]) => codes.includes(code))
  if (known !== undefined) return known[0]
  return /^(?:ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code) ? 'tls' : 'other'
}

/** `fetch` puts the network's own error into the cause, and that of several addresses into a list. */
function codeOf (error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const { code, cause } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : codeOf(cause)
}

const PROXY_VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy', 'HTTP_PROXY', 'http_proxy']

function proxyHint (env: Env): string {
  const name = PROXY_VARIABLES.find(variable => (env[variable] ?? '') !== '')
  if (name === undefined || env['NODE_USE_ENV_PROXY'] === '1') return ''
  return ` ${name} is set, but the fetch of Node.js does not use a proxy by itself: set NODE_USE_ENV_PROXY=1 ` +
    '(Node.js 24 or newer), or give the option "fetch" a fetch with EnvHttpProxyAgent of undici.'
}
