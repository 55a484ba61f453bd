/** Reads the text of a token as far as it can be read, and names what is wrong with its form. */
import { MAX_LENGTH, readJsonObject } from '../token/jws.js'
import { passed, rejected, type Check } from './check.js'
import { plural } from './wording.js'

export type Json = Readonly<Record<string, unknown>>

/** A token, before anything in it is verified. */
export interface TokenForm {
  readonly checks: readonly Check[]
  /** `null` where it cannot be read. */
  readonly header: Json | null
  readonly payload: Json | null
  /** The text that is signed. */
  readonly signed: string
  readonly signature: Buffer
}

// In this order: each is removed before the next one is looked for.
const SURROUNDINGS: ReadonlyArray<readonly [form: RegExp, fault: string]> = [
  [/["'`]/g, 'has quotes'],
  [/^cf-access-jwt-assertion\s*:\s*/i, 'begins with the name of the header'],
  [/^CF_Authorization\s*=\s*/i, 'begins with the name of the cookie'],
  [/^Bearer\s+/i, 'begins with "Bearer"'],
  [/\s*[,;].*$/s, 'has a comma or a semicolon and more text after it'],
  [/\s+/g, 'has blanks or line breaks in it']
]

export function readForm (text: string): TokenForm {
  const { token, faults } = strip(text)
  const [header = '', payload = '', signature = ''] = token.split('.')
  const readHeader = readPart('header', header)
  const readPayload = readPart('payload', payload)
  const all = [
    ...faults,
    ...(text.length > MAX_LENGTH ? [`has ${text.length} characters, more than ${MAX_LENGTH}`] : []),
    ...(countFault(token) ?? [readHeader.fault, readPayload.fault, signatureFault(signature)])
  ].filter(fault => fault !== null)
  return {
    checks: all.length === 0
      ? [passed('form', 'The token has three parts that can be read.')]
      : all.map(fault => rejected('form', `The text ${fault}.`, 'malformed')),
    header: readHeader.value,
    payload: readPayload.value,
    signed: `${header}.${payload}`,
    signature: Buffer.from(signature, 'base64url')
  }
}

function strip (text: string): { token: string, faults: string[] } {
  let token = text
  const faults: string[] = []
  for (const [form, fault] of SURROUNDINGS) {
    const rest = token.replace(form, '')
    if (rest !== token) faults.push(fault)
    token = rest
  }
  return { token, faults }
}

function countFault (token: string): string[] | null {
  const { length } = token.split('.')
  if (token.startsWith('oauth:')) return ['is a token of Managed OAuth, which only the edge can read']
  if (length === 3) return null
  const what = length < 3 ? 'it is cut off, or is not a JWT' : 'it is encrypted, or several texts were joined'
  return [`has ${plural(length, 'part')} instead of 3: ${what}`]
}

/** Reads also a part that is not spelled as it must be. */
function readPart (name: string, part: string): { value: Json | null, fault: string | null } {
  if (part === '') return { value: null, fault: `has an empty ${name}` }
  const spelling = spellingFault(name, part)
  try {
    return { value: readJsonObject(canonical(part), name), fault: spelling }
  } catch {
    return { value: null, fault: spelling ?? `has a ${name} that is not a JSON object: it is cut off or was changed` }
  }
}

function signatureFault (part: string): string | null {
  return part === '' ? 'has no signature' : spellingFault('signature', part)
}

function spellingFault (name: string, part: string): string | null {
  return canonical(part) === part ? null : `has a ${name} that is not canonical base64url`
}

function canonical (part: string): string {
  return Buffer.from(part, 'base64url').toString('base64url')
}
