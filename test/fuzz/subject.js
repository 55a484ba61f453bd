// What is under test.
export { default as cfAccess } from '../../lib/index.js'
export { possiblePaths } from '../../lib/coverage/possible-paths.js'
export { prefixOf } from '../../lib/coverage/prefix.js'
