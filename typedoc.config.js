// Builds the site: the README as its front page, the pages of docs/, and the reference of the API.
import { Converter, OptionDefaults } from 'typedoc'

// In the order of the menu.
const PAGES = [
  'getting-started', 'guarding', 'policies', 'identity', 'sessions', 'options', 'development', 'testing',
  'troubleshooting', 'operations', 'scaling', 'speed', 'security', 'plugins', 'verifier', 'runtimes', 'migration'
]

/**
 * Names a page by its heading and a module as it is imported. The front page has the name of the project already.
 * @param {import('typedoc').Application} app
 */
function name ({ converter }) {
  converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const page of project.documents ?? []) page.name = /^# (.+)$/m.exec(page.content[0].text)[1]
    project.readme[0].text = project.readme[0].text.replace(/^# .+$/m, '')
    for (const module of project.children ?? []) {
      module.name = module.name === 'index' ? project.name : `${project.name}/${module.name}`
    }
  })
}

export default {
  plugin: [name],
  entryPoints: ['lib/index.ts', 'lib/verifier.ts', 'lib/browser/index.ts', 'lib/testing/index.ts', 'lib/dev/index.ts'],
  tsconfig: 'tsconfig.docs.json',
  out: 'site',
  readme: 'README.md',
  projectDocuments: [
    ...PAGES.map(page => `docs/${page}.md`), 'example/recipes/accounts/README.md', 'example/recipes/forward-auth.md',
    'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md'
  ],
  highlightLanguages: [...OptionDefaults.highlightLanguages, 'sql', 'nginx'],
  searchInDocuments: true,
  searchGroupBoosts: { Documents: 4 },
  customCss: 'docs/site.css',
  navigation: { includeFolders: false },
  disableSources: true,
  sort: ['source-order'],
  excludePrivate: true,
  intentionallyNotExported: ['AtLeastOne', 'ExactlyOne', 'OneOrMore', 'faults'],
  validation: { notDocumented: true },
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true
}
