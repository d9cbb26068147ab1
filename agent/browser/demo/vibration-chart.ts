/** One window of vibration on a canvas, in the page's colours. Drawn on change, not on a timer. */
import { SAMPLES } from '../../../shared/motor/motor.ts'
import { byId, setText } from './dom.ts'

const AXES = ['x', 'y', 'z'] as const
const G_MIN = 0.25

export interface VibrationChart {
  draw(vibration: Float32Array): void
}

export function createVibrationChart(): VibrationChart {
  const canvas = byId('chart', HTMLCanvasElement)
  const facts = byId('chart-facts', HTMLSpanElement)
  /** Follows the signal down slowly, so that the scale does not jump. */
  let range = G_MIN

  return {
    draw(vibration) {
      const peak = vibration.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
      range = Math.max(G_MIN, peak * 1.1, range * 0.97)
      setText(facts, `Peak ${peak.toFixed(2)} g.`)
      const context = prepare(canvas)
      if (context === null) return
      const { clientWidth: width, clientHeight: height } = canvas
      const style = getComputedStyle(canvas)
      context.clearRect(0, 0, width, height)
      drawGrid(context, width, height, range, style)
      for (const [axis, name] of AXES.entries()) {
        context.strokeStyle = style.getPropertyValue(`--axis-${name}`)
        context.lineWidth = 1.6
        context.beginPath()
        for (let i = 0; i < SAMPLES; i++) {
          const g = vibration[axis * SAMPLES + i] ?? 0
          const y = height / 2 - (g / range) * (height / 2 - 6)
          context.lineTo((i / (SAMPLES - 1)) * width, y)
        }
        context.stroke()
      }
    },
  }
}

/** The canvas at the screen's own resolution. */
function prepare(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const scale = globalThis.devicePixelRatio
  const width = Math.round(canvas.clientWidth * scale)
  const height = Math.round(canvas.clientHeight * scale)
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
  const context = canvas.getContext('2d')
  context?.setTransform(scale, 0, 0, scale, 0, 0)
  return context
}

function drawGrid(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  range: number,
  style: CSSStyleDeclaration,
): void {
  const step = range > 2 ? 1 : range > 0.8 ? 0.5 : range > 0.35 ? 0.2 : 0.1
  context.strokeStyle = style.getPropertyValue('--line')
  context.fillStyle = style.getPropertyValue('--soft')
  context.font = `11px ${style.fontFamily}`
  context.lineWidth = 1
  for (let g = -Math.floor(range / step) * step; g <= range; g += step) {
    const y = Math.round(height / 2 - (g / range) * (height / 2 - 6)) + 0.5
    context.beginPath()
    context.moveTo(0, y)
    context.lineTo(width, y)
    context.stroke()
    if (Math.abs(g) > step / 2) context.fillText(`${g.toFixed(1)} g`, 4, y - 3)
  }
}
