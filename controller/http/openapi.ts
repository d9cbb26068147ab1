/** The OpenAPI 3.1 document, generated from the endpoint table and its schemas. */
import { z } from 'zod'
import {
  ENDPOINT_IDS,
  ENDPOINTS,
  type Endpoint,
  type EndpointId,
} from '../../shared/api/endpoints.ts'
import { errorResourceSchema } from '../../shared/api/resources.ts'
import { ROUTES } from '../../shared/api/routes.ts'

const MEDIA_TYPES = {
  json: 'application/json',
  bytes: 'application/octet-stream',
  events: 'text/event-stream',
  page: 'text/html',
  text: 'text/plain',
} as const

type Schema = Record<string, unknown>
const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): Schema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}

export function openApiDocument(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const id of ENDPOINT_IDS) {
    const endpoint: Endpoint = ENDPOINTS[id]
    paths[endpoint.path] ??= {}
    paths[endpoint.path]![endpoint.method.toLowerCase()] = operation(id, endpoint)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Linnet controller',
      version,
      description: 'Releases, devices and rollouts of a fleet of edge inference agents.',
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: 'linnet_session' },
        device: {
          ...{ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          description: 'Made by the key of the device in the path, audience linnet:FLEET:http.',
        },
      },
      schemas: { Error: jsonSchema(errorResourceSchema, 'output') },
    },
  }
}

function operation(id: EndpointId, endpoint: Endpoint): Schema {
  const route = ROUTES[id]
  const success =
    endpoint.answer === 'json'
      ? { schema: jsonSchema(route.response, 'output') }
      : { schema: { type: 'string' } }
  return {
    operationId: id,
    summary: endpoint.summary,
    ...securityOf(endpoint),
    parameters: [...parameters('path', route.params), ...parameters('query', route.query)],
    ...(endpoint.body === 'none' ? {} : { requestBody: requestBody(id, endpoint) }),
    responses: {
      [endpoint.status]: {
        description: endpoint.summary,
        ...(endpoint.status === 303
          ? {}
          : { content: { [MEDIA_TYPES[endpoint.answer]]: success } }),
      },
      default: {
        description: 'A refusal: a stable code, and what to do next.',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}

function securityOf({ access }: Endpoint): Schema {
  if (access === 'public') return { security: [] }
  if (access === 'device') return { security: [{ device: [] }] }
  return { security: [{ bearer: [] }, { session: [] }], 'x-roles': access }
}

function parameters(where: 'path' | 'query', schema: z.ZodObject): Schema[] {
  return Object.entries(schema.shape).map(([name, value]) => ({
    name,
    in: where,
    required: where === 'path' || !z.safeParse(value, undefined).success,
    schema: jsonSchema(value as z.ZodType, 'input'),
  }))
}

function requestBody(id: EndpointId, endpoint: Endpoint): Schema {
  const json = endpoint.body === 'json'
  const schema = json
    ? jsonSchema(ROUTES[id].body, 'input')
    : { type: 'string', format: 'binary', maxLength: endpoint.bodyBytesMax }
  return { required: true, content: { [MEDIA_TYPES[json ? 'json' : 'bytes']]: { schema } } }
}
