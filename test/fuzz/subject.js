// What is under test, as it was built.
export { default as cfAccess } from '../../dist/index.js'
export { readings as possiblePaths } from '../../dist/readings.js'
export { prefixOf } from '../../dist/prefix.js'
