import type { Content } from './client.ts'

/** Values for a template's variables: in their order, or by name. */
export type Variables = string[] | Record<string, string>

export interface Template { name: string, language: string, variables: Variables }

/**
 * A template as Meta's API takes it.
 * @see https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/overview
 */
export function contentOf ({ name, language, variables }: Template): Content {
  const parameters = Array.isArray(variables)
    ? variables.map(text => ({ type: 'text', text }))
    : Object.entries(variables).map(([parameter_name, text]) => ({ type: 'text', parameter_name, text }))
  const components = parameters.length === 0 ? {} : { components: [{ type: 'body', parameters }] }
  return { type: 'template', template: { name, language: { code: language }, ...components } }
}

/** The text for the log if the admin gave none. Only Meta knows the template's own text, so it has the name and the variables. */
export function describeTemplate ({ name, variables }: Template): string {
  const values = Array.isArray(variables) ? variables : Object.entries(variables).map(([variable, value]) => `${variable}: ${value}`)
  return `[template ${name}] ${values.join(', ')}`.trim()
}
