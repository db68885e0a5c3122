import { w1 } from './w1.js'
import { w2 } from './w2.js'
import { w3 } from './w3.js'
import { w6 } from './w6.js'
import type { Work } from './work.js'

/** Every work, in the order of the table. */
export const works: readonly Work[] = [w1, w2, w3, w6]
