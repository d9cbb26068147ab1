/**
 * What `linnet serve` was given, as a list of models: ONNX files, or folders in the form of Triton's
 * repositories, `DIR/name/version/model.onnx`, of which the newest version counts.
 */
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { nameSchema } from '../../shared/model/names.ts'

export interface ModelFile {
  readonly model: string
  /** `MAJOR.MINOR.PATCH`; Triton's whole numbers become majors. */
  readonly version: string
  readonly path: string
}

const MODELS_MAX = 64

/** Errors: `serve.no_model`, `serve.too_many`, `serve.same_name`. */
export async function findModels(paths: readonly string[]): Promise<Result<ModelFile[]>> {
  const models: ModelFile[] = []
  for (const path of paths) {
    const kind = await stat(path).catch(() => undefined)
    if (kind === undefined) return noModel(path, 'no such file or folder')
    const found = kind.isDirectory() ? await inRepository(path) : [fileModel(path)]
    if (found.length === 0) return noModel(path, 'no NAME/VERSION/model.onnx in it')
    models.push(...found)
  }
  if (models.length > MODELS_MAX) {
    return refuse('serve.too_many', 'These are too many models for one host.', {
      expected: `at most ${MODELS_MAX}`,
      found: `${models.length}`,
    })
  }
  const names = models.map(({ model }) => model)
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

async function inRepository(folder: string): Promise<ModelFile[]> {
  const models: ModelFile[] = []
  for (const model of (await readdir(folder)).toSorted()) {
    if (!nameSchema.safeParse(model).success) continue
    const versions = await readdir(join(folder, model)).catch(() => [])
    const newest = versions
      .filter((version) => /^[1-9]\d{0,5}$/.test(version))
      .toSorted((a, b) => Number(b) - Number(a))[0]
    if (newest === undefined) continue
    const path = join(folder, model, newest, 'model.onnx')
    const isFile = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    )
    if (isFile) models.push({ model, version: `${newest}.0.0`, path })
  }
  return models
}

function noModel(found: string, why: string): Result<never> {
  return refuse('serve.no_model', 'There is no model to serve.', {
    expected: 'ONNX files, or a folder NAME/VERSION/model.onnx',
    found: `${found}: ${why}`,
  })
}
