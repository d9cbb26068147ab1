/**
 * The cases to push: those written down in ../fixtures/operators, or those of a folder of ONNX backend
 * tests, where LINNET_CASES names one (each with its first data set).
 */
import { readFileSync } from 'node:fs'
import { operatorCases } from '../fixtures/operators/all.ts'
import type { OperatorCase } from '../fixtures/operators/case.ts'
import { casesIn, dataOf } from './onnx-case.ts'

export function chosenCases(): OperatorCase[] {
  const folder = process.env.LINNET_CASES
  if (folder === undefined) return operatorCases()
  return casesIn(folder).map((one) => {
    const sets = dataOf(one)
    const feeds = sets.ok ? (sets.value[0]?.inputs ?? []) : []
    return { name: one.name, model: readFileSync(one.path), feeds }
  })
}
