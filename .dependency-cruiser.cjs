// Who may import whom. A folder may import what stands below it, never what stands above.
const downward = [
  ['server', '^src/(server|serve|workers|admin|doctor|tracing)[.]ts$'],
  ['app', '^src/(app|parts|routes)[.]ts$'],
  ['metrics', '^src/metrics/'],
  ['jobs', '^src/jobs/'],
  ['channels', '^src/channels/'],
  ['conversations', '^src/conversations/'],
  ['replies', '^src/replies/'],
  ['log', '^src/log/'],
  ['accounts', '^src/accounts/'],
  ['db', '^src/db/']
]

/** An `import type` leaves nothing behind in the program, so that it may go where a real one may not. */
const real = { dependencyTypesNot: ['type-only'] }
const assembly = ['^src/serve[.]ts$', '^src/(app|parts|routes)[.]ts$']
const shared = ['^src/errors[.]ts$', '^src/failures[.]ts$', '^src/enums[.]ts$', '^src/text/']

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true }
    },
    ...downward.slice(1).map(([name, path], above) => ({
      name: `${name}-only-downward`,
      comment: 'server → app → metrics → jobs → channels → conversations → replies → log → accounts → db',
      severity: 'error',
      from: { path },
      to: { path: downward.slice(0, above + 1).map(([, path]) => path) }
    })),
    {
      name: 'the-log-knows-no-accounts',
      comment: 'What is said is stored and read by ids; who may log in, and how, is not the log\'s to know.',
      severity: 'error',
      from: { path: '^src/log/' },
      to: { path: '^src/(accounts|bots|channels|conversations|replies)/', ...real }
    },
    {
      name: 'bots-know-only-bots',
      comment: 'A bot is a function from what was said to what to say.',
      severity: 'error',
      from: { path: '^src/bots/' },
      to: { path: '^src/', pathNot: ['^src/bots/', ...shared, '^src/config[.]ts$'] }
    },
    {
      name: 'bots-are-handed-in',
      comment: 'Only what puts the program together imports a bot, and the doctor, which asks a provider as a bot does; all others know the types.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/bots/', ...assembly, '^src/doctor[.]ts$'] },
      to: { path: '^src/bots/', ...real }
    },
    {
      name: 'http-knows-no-domain',
      severity: 'error',
      from: { path: '^src/http/' },
      to: { path: '^src/', pathNot: ['^src/http/', ...shared], ...real }
    },
    {
      name: 'http-is-registered-by-app',
      comment: 'All domains share schema.ts, paging.ts, faults.ts and body-limits.ts of http/; channels with connections of their own share address.ts, limiter.ts, open-count.ts, raw-answer.ts, security-headers.ts and when-over.ts.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/http/', ...assembly] },
      to: { path: '^src/http/', pathNot: '^src/http/(schema|paging|faults|body-limits|address|limiter|open-count|raw-answer|security-headers|when-over)[.]ts$', ...real }
    },
    {
      name: 'tracing-is-asked-for',
      comment: 'Nothing of OpenTelemetry is loaded unless its variables ask for traces.',
      severity: 'error',
      from: { pathNot: '^src/tracing[.]ts$' },
      to: { path: 'node_modules/@opentelemetry/', ...real }
    },
    {
      name: 'db-knows-no-http',
      severity: 'error',
      from: { path: '^src/db/' },
      to: { path: '^src/http/' }
    },
    {
      name: 'stores-know-tables',
      comment: 'Only stores, the log and db/ know how something is stored.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/db/', 'store[.]ts$', '^src/log/(log|membership)[.]ts$', '^src/accounts/sessions[.]ts$'] },
      to: { path: '^src/db/tables[.]ts$' }
    },
    {
      name: 'config-is-handed-in',
      comment: 'The entries read the settings; all others get them, and know the type.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(serve|admin|doctor)[.]ts$', '^src/db/command[.]ts$'] },
      to: { path: '^src/config[.]ts$', ...real }
    },
    {
      name: 'errors-and-enums-know-nobody',
      severity: 'error',
      from: { path: '^src/(errors|enums)[.]ts$' },
      to: { path: '^src/' }
    },
    {
      name: 'text-knows-nobody',
      comment: 'What a text, a name or a phone number may be does not depend on who takes it in.',
      severity: 'error',
      from: { path: '^src/text/' },
      to: { path: '^src/', pathNot: '^src/text/' }
    },
    {
      name: 'config-knows-only-errors',
      severity: 'error',
      from: { path: '^src/config[.]ts$' },
      to: { path: '^src/', pathNot: shared }
    },
    {
      name: 'the-client-stands-alone',
      comment: 'It runs in browsers, and is installed without the server and without any other package. Its hooks know React, and its transport the AI SDK.',
      severity: 'error',
      from: { path: '^client/' },
      to: { pathNot: ['^client/', 'node_modules/react/', 'node_modules/@types/react/', 'node_modules/ai/'] }
    },
    {
      name: 'the-core-of-the-client-has-no-dependencies',
      severity: 'error',
      from: { path: '^client/[^/]+[.]ts$' },
      to: { pathNot: '^client/[^/]+[.]ts$' }
    },
    {
      name: 'no-dev-dependency',
      comment: 'The image has the production dependencies only.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], ...real }
    },
    {
      name: 'nothing-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true }
    }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] }
  }
}
