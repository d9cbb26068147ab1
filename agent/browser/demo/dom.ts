/** The page's elements, found once by id with their type, and small pieces made from text. */
import { assert } from '../../../shared/kernel/assert.ts'

export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id)
  assert(element instanceof type, `the page has a ${type.name} #${id}`)
  return element
}

/** Writes only what changed: screen readers announce live regions at each write. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.append(...children)
  return element
}

export type Tone = 'idle' | 'busy' | 'good' | 'warn' | 'bad'

/** A status is a word, a glyph and a colour. */
export const GLYPHS: Readonly<Record<Tone, string>> = {
  idle: '○',
  busy: '◐',
  good: '●',
  warn: '▲',
  bad: '✕',
}

export function setStatus(element: HTMLElement, tone: Tone, words: string): void {
  element.dataset.tone = tone
  setText(element, `${GLYPHS[tone]} ${words}`)
}
