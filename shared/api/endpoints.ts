/**
 * Every HTTP endpoint as plain data: method, path, who may call it, what travels. No zod here, so
 * that the console can use the table without it; the schemas of the same ids are in routes.ts.
 *
 * `access` is the access matrix. `public` means without credentials, and each such row says why
 * that is no loss; `device` is the device in the path alone, by a token that its key made. The finer rule, which role may give which rollout command, is
 * rollout/commands.ts.
 */
import type { Role } from '../model/role.ts'

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE'

export interface Endpoint {
  readonly method: Method
  /** `{name}` is one path segment. */
  readonly path: string
  readonly access: 'public' | 'device' | readonly Role[]
  /** What the request carries; `bytes` as is, up to `bodyBytesMax`. */
  readonly body: 'none' | 'json' | 'bytes'
  readonly bodyBytesMax?: number
  /** `json` as in routes.ts; the others are served by handlers of their own. */
  readonly answer: 'json' | 'bytes' | 'events' | 'page' | 'text'
  /** On success. */
  readonly status: 200 | 201 | 202 | 204 | 303
  readonly summary: string
}

const EVERYONE: readonly Role[] = ['viewer', 'operator', 'publisher', 'approver', 'admin']
const OPERATORS: readonly Role[] = ['operator', 'admin']
const PUBLISHERS: readonly Role[] = ['publisher', 'admin']
const ADMINS: readonly Role[] = ['admin']

const API = '/api/v1'
const JSON_BYTES_MAX = 65_536
const METADATA_BYTES_MAX = 8_388_608
/** The largest model that protobuf allows. */
const ARTIFACT_BYTES_MAX = 2 ** 31 - 1

const read = (path: string, summary: string, access: Endpoint['access'] = EVERYONE) =>
  ({ method: 'GET', path, access, body: 'none', answer: 'json', status: 200, summary }) as const

const post = (path: string, summary: string, access: Endpoint['access'], status: 200 | 201) =>
  ({
    method: 'POST',
    path,
    access,
    body: 'json',
    bodyBytesMax: JSON_BYTES_MAX,
    answer: 'json',
    status,
    summary,
  }) as const

const put = (path: string, summary: string, bodyBytesMax: number) =>
  ({
    method: 'PUT',
    path,
    access: PUBLISHERS,
    body: 'bytes',
    bodyBytesMax,
    answer: 'json',
    status: 200,
    summary,
  }) as const

export const ENDPOINTS = {
  /** Says nothing but that the process answers. */
  alive: read('/healthz', 'Whether the controller answers.', 'public'),
  metrics: { ...read('/metrics', 'Counters in Prometheus text form.'), answer: 'text' },
  /** The same for every installation. */
  openapi: read('/openapi.json', 'This interface as an OpenAPI 3.1 document.', 'public'),
  /** The code in the link is the credential, and works once. */
  login: {
    ...read('/login', 'Exchanges a one-time code for a session cookie.', 'public'),
    answer: 'page',
    status: 303,
  },
  session: read(`${API}/session`, 'Who the caller is.'),
  logout: { ...read(`${API}/session`, 'Ends the session.'), method: 'DELETE', status: 200 },
  loginLinkCreate: post(`${API}/login-links`, 'A link that signs a browser in, once.', ADMINS, 201),
  tokenList: read(`${API}/tokens`, 'Operator tokens, without their secrets.', ADMINS),
  tokenCreate: post(`${API}/tokens`, 'A bearer token with a role; shown once.', ADMINS, 201),
  tokenRevoke: { ...read(`${API}/tokens/{name}`, 'Revokes a token.', ADMINS), method: 'DELETE' },

  audit: read(`${API}/audit`, 'The audit trail, oldest first, and its signed head.'),
  health: read(`${API}/health`, 'Devices, messages, broker and root, in numbers.'),
  events: { ...read(`${API}/events`, 'Changes as server-sent events.'), answer: 'events' },

  /** The body is signed with the device's key and carries an enrolment token. */
  enrol: {
    ...post(`${API}/enrol`, 'A device joins the fleet.', 'public', 201),
    body: 'bytes',
    bodyBytesMax: 32_768,
  },
  enrolmentTokenCreate: post(
    `${API}/enrolment-tokens`,
    'A token that admits devices; shown once.',
    OPERATORS,
    201,
  ),
  enrolmentTokenList: read(`${API}/enrolment-tokens`, 'Tokens that admit devices.', OPERATORS),
  enrolmentTokenRevoke: {
    ...read(`${API}/enrolment-tokens/{id}`, 'The token admits nobody from now on.', OPERATORS),
    method: 'DELETE',
  },
  deviceRevoke: post(
    `${API}/devices/{device}/revoke`,
    'Puts a device out of the fleet for good.',
    OPERATORS,
    200,
  ),
  deviceApprove: post(
    `${API}/devices/{device}/approve`,
    'Admits a device that waits for approval.',
    OPERATORS,
    200,
  ),
  deviceList: read(`${API}/devices`, 'All devices.'),
  deviceShow: read(`${API}/devices/{device}`, 'One device, desired beside reported.'),
  /** What it is to run is the device's business and the fleet's. */
  deviceAssignment: {
    ...read(`${API}/devices/{device}/assignment`, 'The newest signed assignment.', 'device'),
    answer: 'bytes',
  },
  /** Signed by the director for the nonce of the question: worthless to anybody else. */
  deviceTime: {
    ...read(`${API}/devices/{device}/time`, 'The time, signed for a nonce.', 'public'),
    answer: 'bytes',
  },

  onlineKeys: read(`${API}/trust/online-keys`, 'Public halves of the online keys.', PUBLISHERS),
  onlineKeysPrepare: post(
    `${API}/trust/online-keys`,
    'New online keys, which wait for a root that names them.',
    PUBLISHERS,
    200,
  ),
  rootPut: put(`${API}/trust/root`, 'The first root, or the next one.', METADATA_BYTES_MAX),
  targetsPut: put(`${API}/trust/targets`, 'Signed targets metadata.', METADATA_BYTES_MAX),
  rolesPut: put(
    `${API}/trust/roles`,
    'Targets and delegated roles that belong together: a JSON object of metadata as text, by role.',
    METADATA_BYTES_MAX,
  ),
  artifactPut: put(
    `${API}/artifacts/{sha256}`,
    'An artifact, before the metadata that names it.',
    ARTIFACT_BYTES_MAX,
  ),
  /** Named by digest: whoever asks already has the metadata. */
  artifactGet: {
    ...read(`${API}/artifacts/{sha256}`, 'An artifact, whole or by range.', 'public'),
    answer: 'bytes',
  },
  /** A TUF repository is readable by any TUF client. */
  tufMetadata: {
    ...read('/tuf/metadata/{file}', 'A TUF metadata file.', 'public'),
    answer: 'bytes',
  },
  tufTarget: {
    ...read('/tuf/targets/{model}/{version}/{file}', 'A TUF target, by digest.', 'public'),
    answer: 'bytes',
  },

  releaseList: read(`${API}/releases`, 'Published releases.'),
  releaseShow: read(`${API}/releases/{model}/{version}`, 'One release.'),

  rolloutList: read(`${API}/rollouts`, 'All rollouts.'),
  rolloutCreate: post(`${API}/rollouts`, 'A rollout, checked but not started.', OPERATORS, 201),
  rolloutShow: read(`${API}/rollouts/{id}`, 'One rollout.'),
  rolloutCommand: post(
    `${API}/rollouts/{id}/commands`,
    'Start, approve, deny, pause, resume, promote, abort or roll back.',
    ['operator', 'approver', 'admin'],
    200,
  ),
  rolloutDecisions: read(`${API}/rollouts/{id}/decisions`, 'Its decisions with their evidence.'),
} as const satisfies Record<string, Endpoint>

export type EndpointId = keyof typeof ENDPOINTS
export const ENDPOINT_IDS = Object.keys(ENDPOINTS) as EndpointId[]

/** May a caller with this role (undefined: without credentials) use the endpoint? */
export function mayCall(endpoint: Endpoint, role: Role | undefined): boolean {
  if (endpoint.access === 'public') return true
  if (endpoint.access === 'device') return false
  return role !== undefined && endpoint.access.includes(role)
}

/** The path with its parameters filled in. */
export function endpointPath(
  id: EndpointId,
  params: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string | number | boolean | undefined>> = {},
): string {
  const path = ENDPOINTS[id].path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(params[name] ?? ''),
  )
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined)
  const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
  return text.length === 0 ? path : `${path}?${text.join('&')}`
}
