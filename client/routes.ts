import type { paths } from './types.ts'

// The types of all routes, from the server's own description of its API.

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

/** The methods of a route, as far as it has them. */
export type MethodOf<Path extends keyof paths> = { [M in Method]: paths[Path][M] extends object ? M : never }[Method]

type Parameter<Operation, In extends string> = Operation extends { parameters: infer Parameters } ? In extends keyof Parameters ? Parameters[In] : never : never
type Body<Operation> = Operation extends { requestBody?: { content: { 'application/json': infer Value } } } ? Value : never
type Field<Name extends string, Value> = [Exclude<Value, undefined>] extends [never] ? unknown
  : undefined extends Value ? { [name in Name]?: Value } : { [name in Name]: Value }

/** What a call needs: `path` and `query` parameters and a `body`, as far as the route has them. */
export type Input<Operation> =
  & Field<'path', Parameter<Operation, 'path'>>
  & Field<'query', Parameter<Operation, 'query'>>
  & Field<'body', Body<Operation>>
  & { signal?: AbortSignal }

type Json<Response> = Response extends { content: { 'application/json': infer Value } } ? Value : never

/** What a call returns; undefined where the answer has no body. */
export type Output<Operation> = Operation extends { responses: infer Responses }
  ? Json<Responses[keyof Responses & (200 | 201)]> | (204 extends keyof Responses ? undefined : never)
  : never
