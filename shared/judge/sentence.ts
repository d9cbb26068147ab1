/** One plain sentence for each reason of a verdict, with the numbers it rests on. */
import type { VerdictReason } from './verdict.ts'

type Told = Omit<VerdictReason, 'sentence'> & { latencyMsMax?: number | undefined }

/** `latencyMsMax` names the latency limit where it is known. */
export function reasonSentence(reason: Told): string {
  const scope = reason.profile === '*' ? '' : `${reason.profile}: `
  return `${scope}${tell(reason)}`
}

function tell(reason: Told): string {
  if (reason.metric === 'freshness') {
    return 'The newest telemetry is too old to promote on: hold until devices report again.'
  }
  if (reason.metric === 'shadow') return tellShadow(reason)
  return reason.metric === 'quality' ? tellQuality(reason) : tellShare(reason)
}

function tellShare(reason: Told): string {
  const { n, bad, metric, latencyMsMax } = reason
  if (n === 0) return `No canary request was counted yet; ${neededText(reason)}.`
  const slow = latencyMsMax === undefined ? 'were too slow' : `took over ${latencyMsMax} ms`
  const went = metric === 'error_rate' ? 'failed' : slow
  const seen = `${whole(bad)} of ${whole(n)} canary requests ${went} (${percent(bad / n)})`
  return `${seen}${against(reason)}; the limit is ${percent(reason.limit ?? 0)}${ending(reason)}.`
}

function tellShadow(reason: Told): string {
  const { n, bad, limit, outcome } = reason
  if (outcome === 'not_judged') {
    return `Shadow runs were not judged: ${whole(n)} compared, too few, and requests decide.`
  }
  if (n === 0) return `No shadow run was compared yet; ${neededText(reason)}.`
  const seen = `${whole(bad)} of ${whole(n)} shadow runs gave another class`
  const ends = `the limit is ${percent(limit ?? 0)}${ending(reason)}`
  return `${seen} (${percent(bad / n)}) than the serving release; ${ends}.`
}

function tellQuality(reason: Told): string {
  const { n, bad, baseline } = reason
  if (reason.outcome === 'not_judged') {
    return baseline === null
      ? 'Quality was not judged: there is no baseline to compare with.'
      : 'Quality was not judged: no labels have come for either release.'
  }
  if (n === 0) return `No canary answer has a label yet; ${neededText(reason)}.`
  const seen = `${whole(bad)} of ${whole(n)} canary answers were wrong (${percent(bad / n)})`
  const limit = `the limit for the drop is ${points(reason.limit ?? 0)} points`
  return `${seen}${against(reason)}; ${limit}${ending(reason)}.`
}

function against({ baseline }: Told): string {
  if (baseline === null || baseline.n === 0) return ''
  const share = percent(baseline.bad / baseline.n)
  return ` against ${whole(baseline.bad)} of ${whole(baseline.n)} at baseline (${share})`
}

function ending(reason: Told): string {
  const { baseline, limit, metric, outcome } = reason
  if (outcome === 'undecided') return `: undecided, ${neededText(reason)}`
  if (outcome !== 'breach' || metric === 'quality' || baseline === null) return ''
  const isEnvironment = baseline.n > 0 && baseline.bad / baseline.n > (limit ?? 0)
  return isEnvironment ? ' and the baseline breaks it too: environment rather than model' : ''
}

function neededText({ needed }: Told): string {
  if (needed === null) return 'too close to the limit for more data to decide'
  const unit = needed.count === 1 ? needed.unit.slice(0, -1) : needed.unit
  return `about ${whole(needed.count)} more ${unit} needed`
}

/** 1254 -> "1,254". */
export function whole(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** 0.131 -> "13.1 %"; two digits below one percent. */
function percent(share: number): string {
  const value = share * 100
  return `${value > 0 && value < 1 ? value.toFixed(2) : value.toFixed(1)} %`
}

function points(share: number): string {
  return (share * 100).toFixed(1)
}
