/** What tests have to cover, for tap: the library's own sources, not what tests share, and not the bundle. */
export default () => 'lib/**/*.ts'
