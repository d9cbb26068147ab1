/**
 * How many connections the local API keeps, and how long each may take or be silent, whichever code
 * reads it: slow and silent clients may hold neither memory nor sockets for long.
 */
export const CONNECTIONS_MAX = 512
/** From the first byte, or the opening of the connection, to the end of the head. */
export const HEADER_TIMEOUT_MS = 10_000
/** From the first byte to the last. */
export const REQUEST_TIMEOUT_MS = 60_000
/** A connection on which nothing moves, neither way; longer than any answer takes to compute. */
export const SILENCE_MS_MAX = 30_000
/** Longer than usual clients keep idle connections, so that they close first. */
export const KEEP_ALIVE_MS = 65_000
