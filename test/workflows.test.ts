import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { root } from './fixtures/root.js'

interface Step {
  readonly name?: string
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}

interface Job {
  readonly name: string
  readonly permissions?: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
}

const folder = join(root, '.github', 'workflows')
const workflows = await Promise.all((await readdir(folder)).map(async file => {
  const text = await readFile(join(folder, file), 'utf8')
  return { file, text, ...parse(text) as { permissions?: object, jobs: Readonly<Record<string, Job>> } }
}))

/** The jobs of all workflows, each by its file and its own name. */
const jobs = workflows.flatMap(({ file, jobs }) =>
  Object.entries(jobs).map(([name, job]): Job => ({ ...job, name: `${file} ${name}` })))

function jobNamed (name: string): Job {
  const job = jobs.find(job => job.name === name)
  if (job === undefined) throw new Error(`There is no job ${name}`)
  return job
}

t.test('every action is pinned by its whole hash, with the version beside it', async t => {
  for (const { file, text } of workflows) {
    const lines = text.split('\n').filter(line => /^\s*(?:- )?uses:/.test(line))
    t.ok(lines.length > 0, file)
    for (const line of lines) t.match(line, /uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, file)
  }
  const used = jobs.flatMap(({ steps }) => steps.flatMap(({ uses }) => uses ?? []))
  const versions = new Map(used.map(action => [action.split('@')[0], action]))
  t.strictSame([...new Set(used)].sort(), [...versions.values()].sort(), 'one version of each action')
})

t.test('a job has the permissions that it needs, and no workflow has any', async t => {
  for (const { file, permissions } of workflows) t.strictSame(permissions, {}, file)
  const writing = jobs.map(({ name, permissions = {} }) =>
    [name, ...Object.entries(permissions).filter(([, access]) => access !== 'read').flat()])
  t.strictSame(writing.filter(([, ...access]) => access.length > 0).sort(), [
    ['pages.yml deploy', 'pages', 'write', 'id-token', 'write'],
    ['publish.yml publish', 'id-token', 'write']
  ])
})

t.test('what can publish runs no code of the repository or of its dependencies', async t => {
  for (const name of ['publish.yml publish', 'pages.yml deploy']) {
    const { steps } = jobNamed(name)
    const actions = steps.flatMap(({ uses }) => uses?.split('@')[0] ?? [])
    const strange = actions.filter(action => !/^actions\/(?:download-artifact|setup-node|deploy-pages)$/.test(action))
    t.strictSame(strange, [], name)
    const commands = steps.flatMap(({ run }) => run ?? [])
    t.strictSame(commands, name.startsWith('publish') ? ['npm publish ./*.tgz --provenance'] : [], name)
  }
})

t.test('no checkout leaves the token of the workflow behind', async t => {
  const checkouts = jobs.flatMap(({ steps }) => steps).filter(({ uses }) => uses?.startsWith('actions/checkout@'))
  t.ok(checkouts.length > 0)
  for (const step of checkouts) t.equal(step.with?.['persist-credentials'], false)
})

t.test('the package names the repository that publishes it', async t => {
  const { steps } = jobNamed('publish.yml build')
  const titles = steps.map(({ name, run }) => name ?? run)
  t.ok(titles.indexOf('Name the repository') < titles.indexOf('npm pack'), 'before it is packed')
  const project = t.testdir({ 'package.json': '{ "name": "x", "version": "1.0.0" }' })
  const script = steps.find(({ name }) => name === 'Name the repository')?.run ?? ''
  await promisify(execFile)('bash', ['-ec', script], {
    cwd: project,
    env: { ...process.env, GITHUB_SERVER_URL: 'https://github.com', GITHUB_REPOSITORY: 'acme/fastify-cf-access' }
  })
  t.strictSame(JSON.parse(await readFile(join(project, 'package.json'), 'utf8')), {
    name: 'x',
    version: '1.0.0',
    repository: { type: 'git', url: 'git+https://github.com/acme/fastify-cf-access.git' },
    homepage: 'https://github.com/acme/fastify-cf-access#readme',
    bugs: { url: 'https://github.com/acme/fastify-cf-access/issues' }
  })
})
