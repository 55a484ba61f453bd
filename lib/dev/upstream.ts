/** Where the edge forwards to: the origin of an application on this machine or elsewhere. */
import { throwInvalidOption } from '../util/option-errors.js'
import type { Reader } from '../util/option-readers.js'

const ORIGIN = /^https?:\/\/[^/?#@\\\s]+\/?$/i

export const readUpstream: Reader<string> = (value, path) =>
  typeof value === 'string' && ORIGIN.test(value) && URL.canParse(value)
    ? new URL(value).origin
    : throwInvalidOption(path, value, 'the address of your application without a path, such as "http://127.0.0.1:3000"')
