// The targets that cost the most CPU, as `npm run fuzz -- expensive` found them, and a plain one to compare with: D-20.

export const PLAIN = '/users/42/orders/2024'

/** What is not plain and longer than this is not interpreted. */
const LONGEST = 1024

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
  '/+A++AA+AA+AA+A++AA+%20AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+A' +
    'A+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA++AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+' +
    'AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+' +
    '::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::' +
    ':::::::::::::::::::::::::::::::::::::::::::::::::::AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++' +
    'AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA+A++AA+AA+AA%3b//b/%3b/%3b//%3b%252f/%3b/%3b/%3b/in/a/in/admin/admin/+++++++' +
    '++++++++++++++++++++++++++++++++++++++++++++++++++++++.+++++++++++++++++++++++++++++++++++++++++++++++++++++' +
    '++++++++++++++++++++++++++++++++++++++++++admin/adb%3B/%3b//b/%3b/%3b//%3b%252f/%3b/%3b/',
  '/http://x/xht%ef%bc%8ftp://xhttp;/;/;/%252525;/;../http:/%20//x/xht%ef%bc%8ftp://xhttp;/;/;/%252525%C2%AD;/;',
  '/minadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadmi' +
    'nadminadminadminadminadminn/a%25252en/3b/%3b/%3b/%3b/%3b/%3b%25252f/;%25',
  '/::::::::%25252f::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::' +
    '::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::' +
    '::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::/x::::::::::::::::::::::::::::::::::::::::::::' +
    '::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::' +
    '::::::::::::::::::::::::::::::::::::::::::::::::::::::::::::admin/a..%25%2fdmin/admin%2525252f/admin/admin/a' +
    'dmin/admin/admin/admin/admin/admin/admin/admin/admin/admin/admin/admin/admin'
]
