/** Tells the mutants that compile from those that no test has to catch, because the compiler does. */
import { basename, dirname, join } from 'node:path'
import ts from 'typescript'

/** @typedef {import('./mutants.js').Mutant} Mutant */

/**
 * One program for all mutants of a file, each under a name of its own beside it: a program for each would take
 * half a second a mutant.
 *
 * @param {string} root the project's folder
 * @param {string} file from there
 * @param {readonly Mutant[]} mutants
 * @returns {Mutant[]} those without an error that the file itself, under such a name, does not have
 */
export function compilable (root, file, mutants) {
  const options = compilerOptions(root)
  const original = ts.sys.readFile(join(root, file)) ?? ''
  const nameOf = (/** @type {number} */ i) => join(root, dirname(file), `${basename(file, '.ts')}.mutant-${i}.ts`)
  const texts = new Map([original, ...mutants.map(({ text }) => text)].map((text, i) => [nameOf(i), text]))
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = name => texts.get(name) ?? readFile(name)
  host.fileExists = name => texts.has(name) || fileExists(name)
  host.getSourceFile = (name, ...rest) => {
    const text = texts.get(name)
    return text === undefined
      ? getSourceFile(name, ...rest)
      : ts.createSourceFile(name, text, ts.ScriptTarget.ES2023, true)
  }
  const program = ts.createProgram([...texts.keys()], options, host)
  const errorsOf = (/** @type {number} */ i) => {
    const source = program.getSourceFile(nameOf(i))
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
  }
  const known = new Set(errorsOf(0))
  return mutants.filter((_mutant, i) => errorsOf(i + 1).every(error => known.has(error)))
}

/**
 * The project's own, without the rules of tidiness: a fault that leaves something unused is still a fault.
 * @param {string} root
 */
function compilerOptions (root) {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  return { ...options, noEmit: true, noUnusedLocals: false, noUnusedParameters: false, allowUnreachableCode: true }
}

/** @param {string} text of a TypeScript file */
export function toJavaScript (text) {
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  })
  return outputText
}
