/**
 * What `linnet serve` was given, as a list of models: ONNX files, or folders in the form of Triton's
 * repositories, `DIR/name/version/model.onnx`, of which the newest version counts, or all of them.
 */
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'

export interface ModelFile {
  readonly model: string
  /** As the folder is called: a whole number; 1.0.0 for a single file. */
  readonly version: string
  readonly path: string
  /** Names of its classes, one in a line, where there is one such file beside the versions. */
  readonly labels?: string
}

/** Of a repository, versions counted each; how many of them are in memory at once is the memory budget's matter. */
const MODELS_MAX = 4_096
/** Foreign repositories use capitals and dots. */
const NAME = /^[A-Za-z0-9][\w.-]{0,62}$/

/** `densenet_labels.txt`, as Triton's example repository calls them. */
const LABELS = /labels\.txt$/i

/**
 * @returns the versions of a model beside each other, the newest first; none for an empty folder.
 * Errors: `serve.no_model`, `serve.too_many`, `serve.same_name`.
 */
export async function findModels(
  paths: readonly string[],
  versions: 'latest' | 'all' = 'latest',
): Promise<Result<ModelFile[]>> {
  const models: ModelFile[] = []
  for (const path of paths) {
    const kind = await stat(path).catch(() => undefined)
    if (kind === undefined) return noModel(path, 'no such file or folder')
    models.push(...(kind.isDirectory() ? await inRepository(path, versions) : [fileModel(path)]))
  }
  if (models.length > MODELS_MAX) {
    return refuse('serve.too_many', 'These are too many models for one host.', {
      expected: `at most ${MODELS_MAX}`,
      found: `${models.length}`,
    })
  }
  const names = models.map(({ model, version }) =>
    versions === 'all' ? `${model}/${version}` : model,
  )
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice === undefined) return ok(models)
  return refuse('serve.same_name', 'Two models have the same name.', { found: twice })
}

function fileModel(path: string): ModelFile {
  const name = basename(path)
    .replace(/\.onnx$/i, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63)
  return { model: name === '' ? 'model' : name, version: '1.0.0', path }
}

async function inRepository(folder: string, wanted: 'latest' | 'all'): Promise<ModelFile[]> {
  const models: ModelFile[] = []
  for (const model of (await readdir(folder)).toSorted()) {
    if (!NAME.test(model)) continue
    const entries = await readdir(join(folder, model)).catch(() => [])
    const [labels, ...others] = entries.filter((entry) => LABELS.test(entry))
    const named =
      labels === undefined || others.length > 0 ? {} : { labels: join(folder, model, labels) }
    const versions = entries
      .filter((version) => /^[1-9]\d{0,5}$/.test(version))
      .toSorted((a, b) => Number(b) - Number(a))
    const found: ModelFile[] = []
    for (const version of versions) {
      const path = join(folder, model, version, 'model.onnx')
      if (await isFile(path)) found.push({ model, version, path, ...named })
    }
    models.push(...(wanted === 'all' ? found : found.slice(0, 1)))
  }
  return models
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

/** For whoever cannot do without one. */
export function noModels(): Result<never> {
  return noModel('the folder', 'no NAME/VERSION/model.onnx in it')
}

function noModel(found: string, why: string): Result<never> {
  return refuse('serve.no_model', 'There is no model to serve.', {
    expected: 'ONNX files, or a folder NAME/VERSION/model.onnx',
    found: `${found}: ${why}`,
  })
}
