// What is under test, as it was built.
export { default as cfAccess } from '../../dist/index.js'
export { possiblePaths } from '../../dist/coverage/possible-paths.js'
export { prefixOf } from '../../dist/coverage/prefix.js'
