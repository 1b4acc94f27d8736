// What a host answers, taken apart once: words, no sockets and no clock. A host may be wrong, or false.
//
// In:  maps of its messages (untrusted: any shape).  Out: plain objects whose fields have their types, or ProtocolFault.
// Nothing else of gatebus.js looks into such a map, but whoever asked for it (`ask`).

import { ProtocolFault, hex } from "./protocol.js"

// Characters of a text for a person.
const TEXT_MAX = 400

const fault = (what) => new ProtocolFault(`The host's ${what} makes no sense.`)
const bytes = (value, size) => value instanceof Uint8Array && value.length === size
const count = (value) => Number.isSafeInteger(value) && value >= 0
const map = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Uint8Array)

/** A text of the host, never too long to be shown; what is none is empty. */
export const text = (value) => (typeof value === "string" ? value.slice(0, TEXT_MAX) : "")

/** Its hello: who it is, what it proves. */
export function helloUntrusted(about) {
  const { version, agent, challenge, key, proof, features, limits } = about
  if (version !== 1 || !bytes(challenge, 32) || !bytes(key, 32) || !bytes(proof, 64)) throw fault("hello")
  return { agent: text(agent), challenge, key, proof, features: Array.isArray(features) ? features : [], limits }
}

/** An accept: the instance's name in hexadecimal, and how many of our bytes are there. */
export function acceptUntrusted({ instance, taken = 0 }) {
  if (!count(taken) || (instance !== undefined && !bytes(instance, 16))) throw fault("accept")
  return { instance: instance && hex(instance), taken }
}

/** The name of an instance in an answer. */
export function instanceUntrusted({ instance }) {
  if (!bytes(instance, 16)) throw fault("answer")
  return hex(instance)
}

/** An error, or a farewell: what programs look at, and what people read. */
export const problemUntrusted = (about) => ({ code: text(about.code) || "internal", text: text(about.text), details: about })

const NUMBERS = ["cpu_ms", "peak_memory", "bytes_in", "bytes_out", "wall_ms", "log_dropped"]

/** How a program ended; of `io`, whose program may go on, an empty map is enough. */
export function outcomeUntrusted(about) {
  if (about.ended === undefined && about.state === undefined) return about
  const { state, cause = "", result, usage = {} } = about.ended ?? about
  const typed = typeof state === "string" && typeof cause === "string" && (result === undefined || Number.isSafeInteger(result))
  if (!typed || !map(usage)) throw fault("answer")
  const spent = Object.fromEntries(NUMBERS.map((each) => [each, Number.isFinite(usage[each]) ? usage[each] : 0]))
  const known = { ...(about.ended ?? about), state: text(state), cause: text(cause), usage: { ...usage, ...spent } }
  if (known.text !== undefined) known.text = text(known.text)
  return about.ended === undefined ? known : { ...about, ended: known }
}
