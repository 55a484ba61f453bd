/** Makes the mutants of a source file: each is the file with one small fault put in. */
import ts from 'typescript'

/**
 * @typedef {object} Mutant
 * @property {string} file
 * @property {number} line counted from 1
 * @property {string} before the changed lines as they are, without indentation
 * @property {string} after the same lines with the fault in them
 * @property {string} text the whole file with the fault in it
 */

/** @typedef {[node: ts.Node, replacement: string]} Edit */

const { SyntaxKind } = ts

/** @type {ReadonlyMap<ts.SyntaxKind, string[]>} */
const OPERATORS = new Map([
  [SyntaxKind.LessThanToken, ['<=', '>=']],
  [SyntaxKind.LessThanEqualsToken, ['<', '>']],
  [SyntaxKind.GreaterThanToken, ['>=', '<=']],
  [SyntaxKind.GreaterThanEqualsToken, ['>', '<']],
  [SyntaxKind.EqualsEqualsEqualsToken, ['!==']],
  [SyntaxKind.ExclamationEqualsEqualsToken, ['===']],
  [SyntaxKind.PlusToken, ['-']],
  [SyntaxKind.MinusToken, ['+']],
  [SyntaxKind.AsteriskToken, ['/']],
  [SyntaxKind.SlashToken, ['*']],
  [SyntaxKind.PercentToken, ['*']],
  [SyntaxKind.PlusEqualsToken, ['-=', '=']],
  [SyntaxKind.MinusEqualsToken, ['+=', '=']],
  [SyntaxKind.QuestionQuestionToken, ['||']],
  [SyntaxKind.QuestionQuestionEqualsToken, ['||=', '=']],
  [SyntaxKind.BarToken, ['&']]
])

const LOGICAL = new Set([SyntaxKind.AmpersandAmpersandToken, SyntaxKind.BarBarToken, SyntaxKind.QuestionQuestionToken])

/** @type {ReadonlyMap<string, string>} */
const METHODS = new Map([
  ['some', 'every'], ['every', 'some'], ['startsWith', 'endsWith'], ['endsWith', 'startsWith'],
  ['toLowerCase', 'toUpperCase'], ['toUpperCase', 'toLowerCase'], ['indexOf', 'lastIndexOf'], ['lastIndexOf', 'indexOf'],
  ['min', 'max'], ['max', 'min'], ['push', 'unshift'], ['shift', 'pop'], ['replaceAll', 'replace']
])

// Calls that hand on what they are called on, changed: without them it stays as it is.
const FILTERS = new Set(['filter', 'slice', 'trim', 'sort', 'toSorted', 'reverse', 'replace', 'replaceAll', 'normalize',
  'toLowerCase', 'toUpperCase'])

/**
 * @param {string} file
 * @param {string} text
 * @returns {Mutant[]}
 */
export function mutantsOf (file, text) {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true)
  /** @type {Map<string, Mutant>} */
  const mutants = new Map()
  for (const [node, replacement] of edits(source)) {
    const mutant = apply(source, node, replacement)
    if (mutant.text !== text) mutants.set(mutant.text, mutant)
  }
  return [...mutants.values()]
}

/** @param {ts.SourceFile} source @param {ts.Node} node @param {string} replacement @returns {Mutant} */
function apply (source, node, replacement) {
  const { text } = source
  const [start, end] = [node.getStart(), node.getEnd()]
  const changed = text.slice(0, start) + replacement + text.slice(end)
  const from = text.lastIndexOf('\n', start - 1) + 1
  const lineEnd = text.indexOf('\n', end)
  const to = lineEnd === -1 ? text.length : lineEnd
  return {
    file: source.fileName,
    line: source.getLineAndCharacterOfPosition(start).line + 1,
    before: dedent(text.slice(from, to)),
    after: dedent(changed.slice(from, to + changed.length - text.length)),
    text: changed
  }
}

/** @param {string} lines */
function dedent (lines) {
  return lines.split('\n').map(line => line.trim()).filter(line => line !== '').join('\n')
}

/** @param {ts.Node} node @returns {Generator<Edit>} */
function * edits (node) {
  if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node)) {
    return
  }
  yield * editsOf(node)
  for (const child of node.getChildren()) yield * edits(child)
}

/** @param {ts.Node} node @returns {Generator<Edit>} */
function * editsOf (node) {
  if (ts.isBinaryExpression(node)) yield * ofOperator(node)
  else if (ts.isPrefixUnaryExpression(node)) yield * ofUnary(node)
  else if (ts.isPostfixUnaryExpression(node)) {
    yield [node, node.getText().endsWith('++')
      ? `${node.operand.getText()}--`
      : `${node.operand.getText()}++`]
  } else if (ts.isIfStatement(node)) yield * ofCondition(node.expression)
  else if (ts.isConditionalExpression(node)) yield * ofCondition(node.condition)
  else if (ts.isWhileStatement(node)) yield [node.expression, 'false']
  else if (ts.isForStatement(node) && node.condition !== undefined) yield [node.condition, 'false']
  else if (ts.isCallExpression(node)) yield * ofCall(node)
  else if (ts.isExpressionStatement(node) || ts.isThrowStatement(node) || ts.isContinueStatement(node) ||
    ts.isBreakStatement(node)) yield [node, ';']
  else if (ts.isReturnStatement(node)) {
    yield [node, node.expression === undefined
      ? ';'
      : `{ ${node.expression.getText()} }`]
  } else yield * ofLiteral(node)
}

/** @param {ts.BinaryExpression} node @returns {Generator<Edit>} */
function * ofOperator ({ left, operatorToken, right }) {
  for (const other of OPERATORS.get(operatorToken.kind) ?? []) yield [operatorToken, other]
  if (!LOGICAL.has(operatorToken.kind)) return
  const whole = operatorToken.parent
  yield [whole, left.getText()]
  yield [whole, right.getText()]
}

/** @param {ts.PrefixUnaryExpression} node @returns {Generator<Edit>} */
function * ofUnary (node) {
  if (node.operator === SyntaxKind.ExclamationToken || node.operator === SyntaxKind.MinusToken) {
    yield [node, node.operand.getText()]
  }
}

/** @param {ts.Expression} condition @returns {Generator<Edit>} */
function * ofCondition (condition) {
  yield [condition, 'true']
  yield [condition, 'false']
}

/** @param {ts.CallExpression} node @returns {Generator<Edit>} */
function * ofCall (node) {
  const { expression } = node
  if (!ts.isPropertyAccessExpression(expression)) return
  const name = expression.name.text
  const other = METHODS.get(name)
  if (other !== undefined) yield [expression.name, other]
  if (FILTERS.has(name)) yield [node, expression.expression.getText()]
  if (expression.getText() === 'Object.freeze' && node.arguments[0] !== undefined) {
    yield [node, node.arguments[0].getText()]
  }
}

/** @param {ts.Node} node @returns {Generator<Edit>} */
function * ofLiteral (node) {
  if (node.kind === SyntaxKind.TrueKeyword) yield [node, 'false']
  else if (node.kind === SyntaxKind.FalseKeyword) yield [node, 'true']
  else if (ts.isNumericLiteral(node)) yield [node, `${Number(node.text) + 1}`]
  else if (ts.isBigIntLiteral(node)) yield [node, `${BigInt(node.text.replaceAll('_', '').slice(0, -1)) + 1n}n`]
  else if (ts.isStringLiteral(node) && !isProse(node.text)) yield [node, node.text === '' ? "'mutant'" : "''"]
  else if (ts.isRegularExpressionLiteral(node)) yield * ofRegExp(node)
  else if (ts.isArrayLiteralExpression(node) && node.elements.length > 0) yield [node, '[]']
}

/** What is told to users is not worth a test of its every word. @param {string} text */
function isProse (text) {
  return text.includes(' ')
}

/** @param {ts.RegularExpressionLiteral} node @returns {Generator<Edit>} */
function * ofRegExp (node) {
  const { text } = node
  const end = text.lastIndexOf('/')
  const [pattern, flags] = [text.slice(1, end), text.slice(end + 1)]
  for (const flag of flags) yield [node, `/${pattern}/${flags.replace(flag, '')}`]
  // An anchor, a negation, a repetition, a bound; what is escaped is matched first, and so passed over.
  for (const { 0: part, index } of pattern.matchAll(/\\.|\[\^|\^|\$|[+*](?!\?)|\d+(?=[,}])/g)) {
    const other = otherPart(part)
    if (other !== null) {
      yield [node, `/${pattern.slice(0, index)}${other}${pattern.slice(index + part.length)}/${flags}`]
    }
  }
}

/** @param {string} part */
function otherPart (part) {
  if (part.startsWith('\\')) return null
  if (part === '[^') return '['
  if (part === '^' || part === '$') return ''
  if (part === '+') return '*'
  if (part === '*') return '+'
  return String(Number(part) + 1)
}
