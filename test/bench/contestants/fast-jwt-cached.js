import { onFastJwt } from './fast-jwt.js'

// As many as ours remembers.
export default onFastJwt({ cache: 10_000 })
