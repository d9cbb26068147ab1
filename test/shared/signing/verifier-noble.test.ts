import { nobleVerifier } from '../../../shared/signing/verifier-noble.ts'
import { describeVerifier } from '../../contract/verifier.contract.ts'

describeVerifier('@noble/curves', nobleVerifier)
