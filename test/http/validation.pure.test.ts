import { createValidation } from '../../src/http/validation.ts'
import t from 'tap'
import { Ajv } from 'ajv'
import { faultsIn } from '../../src/http/faults.ts'

// Which fields of a value a schema keeps, and the messages for faults.

t.test('a value keeps only what its schema names', async t => {
  const compile = createValidation()
  const text = { type: 'string', maxLength: 5 }
  const object = (properties: object, more: object = {}) => ({ type: 'object', properties, ...more })
  const rows: Array<[title: string, schema: object, given: unknown, value: unknown]> = [
    ['nested fields, and fields in lists', object({ a: object({ b: text }), c: { type: 'array', maxItems: 5, items: object({ d: text }) } }),
      { a: { b: 'x', z: 1 }, c: [{ d: 'y', z: 1 }, { z: 1 }], z: {} }, { a: { b: 'x' }, c: [{ d: 'y' }, {}] }],
    ['the fields of all schemas in allOf', object({ a: object({ b: text }) }, { allOf: [object({ c: text, a: object({ d: text }) })] }),
      { a: { b: 'x', d: 'y', z: 1 }, c: 'v', z: 1 }, { a: { b: 'x', d: 'y' }, c: 'v' }],
    ['the branch of a condition that holds', { type: 'object', if: { required: ['a'] }, then: object({ a: text }), else: object({ b: text }) }, { a: 'x', b: 'y' }, { a: 'x' }],
    ['the other branch of the condition', { type: 'object', if: { required: ['a'] }, then: object({ a: text }), else: object({ b: text }) }, { c: 'x', b: 'y' }, { b: 'y' }],
    ['a condition with one branch', { type: 'object', properties: { b: text }, if: { required: ['a'] }, then: object({ a: text }) }, { c: 'x', b: 'y' }, { b: 'y' }],
    ['the branch of a union that fits', { anyOf: [object({ a: text }, { required: ['a'] }), object({ b: text, c: text }, { required: ['b'] })] }, { b: 'x', c: 'y', z: 1 }, { b: 'x', c: 'y' }],
    ['the branch of a union by oneOf', { oneOf: [object({ a: text }, { required: ['a'] }), object({ b: text }, { required: ['b'] })] }, { a: 'x', b: 1 }, { a: 'x' }],
    ['any fields, where the schema names none', { type: 'object' }, { a: { b: [1] } }, { a: { b: [1] } }],
    ['no fields, where the schema has empty properties', object({}), { a: 1 }, {}],
    ['fields by a pattern', { type: 'object', patternProperties: { '^a': text } }, { ab: 'x', b: 'y' }, { ab: 'x' }],
    ['fields of any name with one schema', { type: 'object', additionalProperties: object({ a: text }) }, { x: { a: 'y', z: 1 } }, { x: { a: 'y' } }],
    ['fields of any name', object({ a: text }, { additionalProperties: true }), { a: 'x', z: [1] }, { a: 'x', z: [1] }],
    ['inherited properties are not fields', object({ constructor: text, toString: text }), {}, {}],
    ['lists of anything', { type: 'array', maxItems: 3 }, [[[]], { a: 1 }], [[[]], { a: 1 }]],
    ['trimmed text', { type: ['string', 'null'], maxLength: 5, 'x-trimmed': true }, '  12345  ', '12345'],
    ['defaults', object({ a: { type: 'integer', default: 5 } }), { b: 1 }, { a: 5 }]
  ]
  for (const [title, schema, given, value] of rows) t.same(compile(schema)(given, 'body'), { value }, title)

  const refused: Array<[title: string, schema: object, given: unknown, details: object[]]> = [
    ['fields that the schema refuses', object({ a: text }, { additionalProperties: false }), { a: 'x', ['b'.repeat(200)]: 1 }, [{ path: 'b'.repeat(100), message: 'is not a known field' }]],
    ['no branch of a union fits', object({ u: { 'x-rule': 'must be an a or a b', anyOf: [object({ a: text }), object({ b: text })] } }), { u: { a: 1, b: 1 } }, [{ path: 'u', message: 'must be an a or a b' }]],
    ['bytes', object({ a: text }), Buffer.from('x'), []]
  ]
  for (const [title, schema, given, details] of refused) {
    const result = compile(schema)(given, 'body')
    if (details.length > 0) t.match(result, { error: { code: 'INVALID_REQUEST', details } }, title)
  }
  t.same(Object.getPrototypeOf((compile({ type: 'object' })(JSON.parse('{"a": 1}'), 'body') as { value: object }).value), Object.prototype)

  const { value: odd } = compile({ type: 'object', additionalProperties: { type: 'array' } })(JSON.parse('{"__proto__": ["x"]}'), 'body') as { value: object }
  t.same([Object.getPrototypeOf(odd), Object.entries(odd)], [Object.prototype, [['__proto__', ['x']]]], 'a field does not become the prototype')
})

t.test('at most twenty of a hundred faults are reported', async t => {
  const ajv = new Ajv({ allErrors: true, verbose: true })
  ajv.validate({ type: 'array', items: { type: 'string' } }, Array(100).fill(7))
  t.equal(faultsIn(ajv.errors!).length, 20)
})

t.test('each rule of a schema has its message', async t => {
  const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true, keywords: ['x-rule'] })
  const rows: Array<[schema: object, value: unknown, message: string]> = [
    [{ type: 'integer', minimum: 3 }, 2, 'must be a whole number of at least 3'],
    [{ type: 'number', maximum: 1.5 }, 2, 'must be a number of at most 1.5'],
    [{ type: 'number', maximum: 1.5 }, 'x', 'must be a number of at most 1.5'],
    [{ type: 'boolean' }, 1, 'must be true or false'],
    [{ type: ['array', 'null'] }, 1, 'must be a list or null'],
    [{ type: ['integer', 'null'], minimum: 0, maximum: 2000 }, -1, 'must be a whole number from 0 to 2,000 or null'],
    [{ type: ['integer', 'null'], minimum: 0, maximum: 2000 }, 'x', 'must be a whole number from 0 to 2,000 or null'],
    [{ type: 'array', minItems: 1 }, [], 'needs at least 1 entry'],
    [{ type: 'array', minItems: 2 }, [], 'needs at least 2 entries'],
    [{ type: 'string', maxLength: 1 }, 'ab', 'may have at most 1 character'],
    [{ type: 'string', pattern: '^a', 'x-rule': 'must begin with an a' }, 'b', 'must begin with an a'],
    [{ type: 'object', maxProperties: 1 }, { a: 1, b: 2 }, 'may have at most 1 entry'],
    [{ type: 'object', propertyNames: { maxLength: 1 } }, { ab: 1 }, 'has an entry whose name is not allowed'],
    [{ type: 'integer', multipleOf: 2 }, 3, 'is not valid']
  ]
  for (const [schema, value, message] of rows) {
    ajv.validate({ type: 'object', properties: { it: schema } }, { it: value })
    t.same(faultsIn(ajv.errors!), [{ path: 'it', message }])
  }
})
