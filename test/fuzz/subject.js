// What is under test, as it was built.
export { default as cfAccess } from '../../dist/index.js'
export { possiblePaths } from '../../build/lib/coverage/possible-paths.js'
export { prefixOf } from '../../build/lib/coverage/prefix.js'
