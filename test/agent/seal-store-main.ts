/** A program for seal-store.test.ts to kill: says that it begins, and seals the folder. */
import { sealStore } from '../../agent/artifact/seal-store.ts'

process.stdout.write('begins\n')
await sealStore(process.argv[2]!, new Uint8Array(32).fill(9))
