/**
 * `linnet release create`: from model files to the folder of a release, `releases/N/X.Y.Z/` under
 * LINNET_HOME. Nothing is signed yet. Invariant: the folder appears whole or not at all, and is
 * never written again: a release is immutable.
 */
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { encodeGolden } from '../../shared/model/golden.ts'
import {
  MANIFEST_BYTES_MAX,
  MANIFEST_FILE,
  type Manifest,
  manifestSchema,
  type Tolerance,
  type Variant,
} from '../../shared/model/manifest.ts'
import { datatypeSchema, type TensorSpec } from '../../shared/model/tensor.ts'
import { checkCompatible } from '../../shared/onnx/compatibility.ts'
import type { SignatureTensor } from '../../shared/onnx/graph-reader.ts'
import { readModelSignature } from '../../shared/onnx/model-signature.ts'
import { bytes as byteWords, count } from '../../shared/view/words.ts'
import { withBatchAxes } from './batch-axes.ts'
import type { Context } from './context.ts'
import { publisherFolder, readSignedTargets } from './publisher-folder.ts'
import { type GivenGolden, goldenOf, readGolden, type VariantModel } from './release-golden.ts'
import { readReference } from './release-reference.ts'
import { type ReleaseFlags, type ReleaseSpec, readReleaseSpec } from './release-spec.ts'

/** Backends of one arithmetic agree this well; integer ones differ by their rounding. */
const TOLERANCES: Readonly<Record<Variant['precision'], Tolerance>> = {
  fp32: { absolute: 1e-4, relative: 1e-3 },
  fp16: { absolute: 5e-3, relative: 1e-2 },
  int8: { absolute: 2e-2, relative: 2e-2 },
}

interface LoadedVariant extends VariantModel {
  readonly spec: ReleaseSpec['variants'][number]
  readonly bytes: Uint8Array
}

/** Errors (thrown): `release.*`, `onnx.*`, `golden.*`, `reference.*`. */
export async function createRelease(context: Context, flags: ReleaseFlags): Promise<void> {
  const spec = await readReleaseSpec(flags)
  const folder = publisherFolder(context.home).release(spec.model, spec.version)
  await refuseDuplicate(context, spec, folder)
  const variants = await loadVariants(spec)
  const golden = spec.golden === undefined ? undefined : await readGolden(spec.golden, variants[0]!)
  const parent = dirname(folder)
  await mkdir(parent, { recursive: true })
  const draft = await mkdtemp(join(parent, '.draft-'))
  try {
    const manifest = await writeRelease(draft, spec, variants, golden)
    await rename(draft, folder)
    const name = `${spec.model}@${spec.version}`
    context.show({ release: name, folder, manifest }, () => createdText(name, folder, manifest))
  } catch (cause) {
    await rm(draft, { recursive: true, force: true })
    throw cause
  }
}

async function refuseDuplicate(
  { home }: Context,
  { model, version }: ReleaseSpec,
  folder: string,
): Promise<void> {
  const there = await stat(folder).then(
    () => folder,
    () => undefined,
  )
  const targets = (await readSignedTargets(publisherFolder(home).targets))?.targets.targets
  const signed = targets?.has(`${model}/${version}/${MANIFEST_FILE}`) ? 'signed targets' : undefined
  const found = there ?? signed
  if (found === undefined) return
  throw new ProblemError({
    code: 'release.duplicate_version',
    message: `There is a release ${model}@${version} already.`,
    expected: 'a new version: releases never change',
    found,
    next:
      there === undefined ? 'choose a higher version' : `linnet release sign ${model}@${version}`,
  })
}

async function loadVariants(spec: ReleaseSpec): Promise<LoadedVariant[]> {
  const loaded: LoadedVariant[] = []
  for (const variant of spec.variants) {
    if (loaded.some(({ name }) => name === variant.name)) {
      throw refused(
        'duplicate_variant',
        'Two variants have one name.',
        'distinct names',
        variant.name,
      )
    }
    const { file, name } = variant
    const bytes = await readFile(file).catch((cause: Error) => {
      throw refused('missing_file', 'A model file cannot be read.', file, cause.message)
    })
    const signature = unwrap(readModelSignature(bytes))
    if (signature.externalData.length > 0) {
      const found = signature.externalData.join(', ')
      throw refused('external_data', 'The model keeps weights in other files.', 'one file', found)
    }
    const inputs = signature.inputs.map(tensorSpec)
    const outputs = signature.outputs.map(tensorSpec)
    const first = loaded[0]
    const fits = first === undefined ? undefined : checkCompatible({ inputs, outputs }, first)
    if (fits?.ok === false) {
      const { expected = '', found = '' } = fits.error
      throw refused('variants_differ', `${name} has other tensors.`, expected, found)
    }
    loaded.push({ name, file, spec: variant, bytes, inputs, outputs })
  }
  return loaded
}

/** What a device can serve. Errors (thrown): `release.unsupported_type`. */
function tensorSpec({ name, datatype, shape, rankKnown }: SignatureTensor): TensorSpec {
  const known = datatypeSchema.safeParse(datatype)
  if (!known.success) {
    const expected = datatypeSchema.options.join(', ')
    throw refused('unsupported_type', `Tensor ${name} cannot be served.`, expected, datatype)
  }
  const rank = rankKnown ? {} : { anyShape: true as const }
  return { name, datatype: known.data, shape: [...shape], ...rank }
}

async function writeRelease(
  draft: string,
  spec: ReleaseSpec,
  variants: readonly LoadedVariant[],
  golden: GivenGolden | undefined,
): Promise<Manifest> {
  const [first] = variants
  const { inputs, outputs } = first!
  const { features, reference } =
    spec.reference === undefined
      ? { features: spec.features, reference: [] }
      : await readReference(spec.reference, spec.features, inputs)
  const described: Variant[] = []
  for (const variant of variants) {
    const isFirst = variant === first
    const vectors = await goldenOf(variant, golden, { isFirst, inputSpec: spec.inputSpec })
    const { precision, profiles, tolerance, memoryMb, executionProviders } = variant.spec
    described.push({
      name: variant.name,
      precision,
      profiles,
      artifact: await writeArtifact(draft, `${variant.name}.onnx`, variant.bytes),
      golden: await writeArtifact(draft, `${variant.name}.golden.bin`, encodeGolden(vectors)),
      tolerance: tolerance ?? toleranceOf(golden, variant.name, isFirst) ?? TOLERANCES[precision],
      ...(memoryMb !== undefined && { memoryMb }),
      ...(executionProviders && { executionProviders }),
    })
  }
  const floats = inputs.filter(({ datatype }) => datatype.startsWith('FP'))
  const manifest = manifestSchema.safeParse({
    schema: 'linnet.manifest.v1',
    model: spec.model,
    version: spec.version,
    createdAtMs: Date.now(),
    ...withBatchAxes({ inputs, outputs }, spec.batchAxis),
    finiteInputs: spec.finiteInputs ?? floats.map(({ name }) => name),
    ...(spec.ranges && { ranges: spec.ranges }),
    variants: described,
    features,
    reference,
    classes: spec.classes,
    serviceLevels: spec.serviceLevels,
    ...(spec.disclosure && { disclosure: spec.disclosure }),
    lineage: spec.lineage,
    evaluation: spec.evaluation,
    description: spec.description,
  })
  if (!manifest.success) {
    throw refused(
      'manifest',
      'The release has no valid manifest.',
      'manifestSchema',
      manifest.error.message,
    )
  }
  checkNames(manifest.data)
  const text = `${JSON.stringify(manifest.data, null, 2)}\n`
  if (text.length > MANIFEST_BYTES_MAX) {
    throw refused(
      'manifest',
      'The manifest is too large.',
      `${MANIFEST_BYTES_MAX} B`,
      `${text.length} B`,
    )
  }
  await writeFile(join(draft, MANIFEST_FILE), text)
  return manifest.data
}

/** The file's tolerance is that of the outputs it holds, so of the first variant alone. */
function toleranceOf(golden: GivenGolden | undefined, name: string, isFirst: boolean) {
  return golden?.variants.get(name)?.tolerance ?? (isFirst ? golden?.tolerance : undefined)
}

/** Features and classes must name tensors of the model. */
function checkNames(manifest: Manifest): void {
  const { inputs, outputs, features, classes, finiteInputs, ranges = [] } = manifest
  const names = (tensors: readonly TensorSpec[]) => tensors.map(({ name }) => name)
  const all = [...names(inputs), ...names(outputs)]
  const unknown = [...features.map(({ tensor }) => tensor), ...finiteInputs].find(
    (name) => !all.includes(name),
  )
  const noClasses = classes !== null && !names(outputs).includes(classes.tensor)
  const ofInputs = features.filter(({ tensor }) => names(inputs).includes(tensor))
  const unranged = ranges.find(({ input, feature }) =>
    input === undefined
      ? !ofInputs.some(({ name }) => name === feature)
      : !names(inputs).includes(input),
  )
  const found =
    unknown ??
    (noClasses ? classes.tensor : undefined) ??
    (unranged && (unranged.input ?? unranged.feature))
  if (found === undefined) return
  throw refused(
    'unknown_tensor',
    'The specification names an unknown tensor.',
    all.join(', '),
    found,
  )
}

async function writeArtifact(draft: string, file: string, bytes: Uint8Array) {
  await writeFile(join(draft, file), bytes)
  return { file, sha256: sha256Hex(bytes), length: bytes.length }
}

function createdText(name: string, folder: string, manifest: Manifest): string {
  const variants = manifest.variants.map((v) => `${v.name} ${byteWords(v.artifact.length)}`)
  return [
    `${name}: ${variants.join(', ')}; ${count(manifest.reference.length, 'reference feature')}`,
    folder,
    `next: linnet release sign ${name}`,
  ].join('\n')
}

function refused(code: string, message: string, expected: string, found: string): ProblemError {
  return new ProblemError({
    code: `release.${code}`,
    message,
    expected,
    found: found.slice(0, 400),
  })
}
