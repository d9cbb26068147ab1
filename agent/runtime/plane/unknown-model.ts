/**
 * How every door of the data plane refuses what it does not serve. The sentences begin as Triton's do,
 * for its published examples look for them. Pure.
 */
import { type Err, refuse } from '../../../shared/kernel/result.ts'
import type { DataPlane } from '../../data-plane.ts'

const NAME_LENGTH_MAX = 64
/** `2` as in Triton's folders, `2.0.0` as in a manifest. */
const VERSION = /^\d+(\.\d+\.\d+)?$/

/**
 * A model that is on its way is no unknown one: its clients are told to wait.
 * Errors: `infer.not_ready`, `infer.unknown_model`.
 */
export function refuseModel(model: string, isLoading: boolean): Err {
  if (isLoading) {
    return refuse('infer.not_ready', 'The model host is still loading.', {
      next: 'try again in 1 s',
    })
  }
  const found = model.slice(0, NAME_LENGTH_MAX)
  return refuse('infer.unknown_model', `Request for unknown model: '${found}' is not found`, {
    found,
  })
}

/** @param served versions. Errors: `infer.unknown_version`. */
export function refuseVersion(model: string, version: string, served: readonly string[]): Err {
  const found = version.slice(0, NAME_LENGTH_MAX)
  const message = VERSION.test(version)
    ? `Request for unknown model: '${model}' version ${found} is not found`
    : `failed to get model version from specified version string '${found}'`
  return refuse('infer.unknown_version', message, { expected: served.join(', '), found })
}

/** Of a model, or of one of its versions, that a question about it did not find. */
export function refuseUnknown(
  plane: Pick<DataPlane, 'loading' | 'releases'>,
  { name, version = '' }: { readonly name: string; readonly version?: string | undefined },
): Err {
  const releases = plane.releases().filter(({ model }) => model === name)
  if (releases.length === 0 || version === '') return refuseModel(name, plane.loading(name))
  const served = releases.map((release) => release.version)
  return refuseVersion(name, version, served)
}
