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
    'dmin/admin/admin/admin/admin/admin/admin/admin/admin/admin/admin/admin/admin',
  '/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaadminadmii+minadminadmii+minadminadmiadminadminadminadminadminadminadm' +
    'inadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadmina' +
    'dminadminadminadminadminadminad%2525min//adminadminadminadminadminadminadminadminadminadminadminadminadminad' +
    'minadminadminadmini+minad%20minadmii+minadminadmii%25252f+minadminadmii+min25/x/x/x/x/x/x/x/x/x/aaaaaaaaaaaa' +
    'aaaaaaaaaaaaaaaaaaaaaaaaaadminadmii+minadminadmii+minadminadmiadminadminadminadminadminadminadminadminadmina' +
    'dminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadminadmi' +
    'n+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+d' +
    'mii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+%2525252fm+dmii+m+dmiaaaaaaaaaaaaaaaaaaaa' +
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaai+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+m+dmii+' +
    'm+dmii+m+dmii+m+dmii+m+dmii..%25',
  '/@@@@@@@@@@@@@%2525252f@/@@@@%C4%B0@@@@@@@@@%2525252f@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/@@@@@@@@' +
    '@@@@@%2525252f@/@@@@%C4%B0@@..................................................aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' +
    'a/@%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a' +
    '%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a%0a@@52f@aaaaaaaaaaaaaaaaaaaaaaaaaaaaa%' +
    '2525252faaaaaaaaaaaaaaaa/@@@@@@@@@@@@@%25@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%EF%B7%BAaaaaaaaaaa/@@@@@@9%09%' +
    '09%09%09%09%09@@@@@@@%25@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/@@@@@@@@@@@@@%2525252f@/@@@@%C4%B0@@.............:..' +
    '...................................aaaaaaaaaaaaaaaaaaadminaaaaaaaaaaaaa/@@@@@@@@@@@@@%2525252f@/@@@@%C4%B0@@' +
    '@@@@@@@%2525252f@aa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/@@@@@@@@@@@@@%2525252f@/@@@@%C4%B0@@@@@@@@@%2525252f@aaa' +
    'aaaaaaaaaaaaaaaaaaaaaaaaaa%2525252faaaaaaaaaaaaaaaa/@@@@@@@@@@@@@%25@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  '/0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%' +
    'B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%' +
    'B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%' +
    'B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%' +
    'B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%C4%B0%252' +
    '525252e%C4%B0%C4%B00:0:0:0:0:0:0%25admin25252f0:0:0:0:0:0:%C4%B00%2525252f/0',
  '/n/admin/aAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/xAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA..AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
    'AAAAAAAAAAAAAAAA%252525252525252eAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaa' +
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
    'AAAAAAAAAAAAA%25AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAhttp://xAAAAAAAAAAAAAAAAAAAAA%2525252525%2525252525AAAAAA' +
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA5252fAAAAAAAAAAAAAAAAAc%2525255c%252525' +
    '5c%2525255c'
]
