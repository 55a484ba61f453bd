// The targets that cost the most CPU, as `npm run fuzz -- expensive` found them, and a plain one to compare with: D-20.

export const PLAIN = '/users/42/orders/2024'

/** What is not plain and longer than this is not interpreted. */
const LONGEST = 2048

/** As often as it fits, and an end that has to be decoded again and again. @param {string} unit @param {string} end */
function fill (unit, end) {
  return `/${unit.repeat((LONGEST - end.length - 1) / unit.length)}${end}`
}

const ENDS = ['%EF%B7%BA%2525252f', '/x%25252523%25252500y']
const UNITS = [
  '/', '/x', '/.x', '%2f', '/%2f', '/%25252f', '/%ff', '//host', 'http://h', '/%EF%B7%BA', '//x%23%3f%3b%00', '%5c',
  '/;'
]

/** @type {readonly string[]} */
export const EXPENSIVE = [
  ...UNITS.flatMap(unit => ENDS.map(end => fill(unit, end))),
  '/plain'.repeat(2500),
  '///0////f2f/%2f/%2f/%///////f/%2f/%2%2f/%///////%CD%85//////////////////////%00////f%2f/%2f/%2f/%/..........x/' +
    'x/x/x/xx/x/x/x/x////%00/////f/%2f/%2f/%2/%///////////////////////////00///%2f/%2f/%2f/%',
  '////////%D%85///////////////////////%/////f/%2f/%2f/%////////%CD%85////////////////%EF%B7%BA///hoss2f/%2f/%2f/' +
    '%////',
  '////////%252f//////////////////..%25%2f..%29/%09//////////////////////////////////////////////////////////////' +
    '////////////////////////%252f////////////////...%29/%09//%E1%BA%9E////////////////////////////',
  '///..%25%2f..%29/%09////////////////%252f//////////////////..%25%2f09///////%ef%bc%8f/////////////////////////' +
    '//////////////////////////////////////',
  '///host//host/host//h/%2f/%2f/f/%2f/%2f/2f/%2f/%2f//%2f/%2f/%2f/f/%2f/%2f/%2f/%2f/%2%2f/f/%2f/%2f/%f/%2f/%2f/%' +
    '2f/%2f/%2f/%2f/%2f/%/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%/%2f/%' +
    '2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%f/%2f/%2f/%2f/%f//h%3b%%09/5cost//ho//%CD%85host//%%E1%BA%9E0;/;/%202f' +
    '/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%f/%2f/%2f/%2f/%2' +
    'f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%2f/%f/%2f/%2f/%8',
  '///252ehost//%%20/2hos%3B/%CD%85///host//%20/host//st//host//host//h%3b%5cost/hot/%///%252ehost//%%20/20/host/' +
    '/ht/%3B/%CD%85///host//%20/host/st//host//host//h%3b%5cost/host/%',
  '//%.\\/\\%3F\\\\\\\\\\\\\\./\\//..\\%25%32%66\\\\%EF%B7%BA\\\\\\\\\\\\\\\\\\;a/?/;/;a/a%',
  '//%..%25%2fzz//ho.\\/\\%5\\5%.\\%20/\\%3F\\\\/%;/%2525252f/20%/%3b',
  '/%ef%bc%8f./././././././././././././/./%3b.%0//..%2525252f//%2f;%23%3f%3b%25252e/;0'
]
