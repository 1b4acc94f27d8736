// The messages of gatebus.v1 in JavaScript: words, no sockets and no clock. The specification is gatebus/protocol/PROTOCOL.md.
//
// In:  one binary websocket message of a host (untrusted).  Out: a checked array, or ProtocolFault.

import { decode, encode } from "./vendor/cborg/cborg.js"

export const CLIENT_HELLO = 0, HOST_HELLO = 1, AUTH = 2, WELCOME = 3, OPEN = 4, ACCEPT = 5, DATA = 6, CREDIT = 7, END = 8,
  STOP = 9, LOG = 10, RESULT = 11, ERROR = 12, CANCEL = 13, PING = 14, PONG = 15, FAREWELL = 16

// Bytes of one data message: a browser cuts larger websocket messages into frames, which costs the host its fast path.
export const DATA_MAX = 65536
// Largest message of either side: its data and the head.
export const MESSAGE_MAX = DATA_MAX + 64

/** The host said something that the protocol does not allow. */
export class ProtocolFault extends Error {}

const uint = (value) => Number.isSafeInteger(value) && value >= 0
const bytes = (value) => value instanceof Uint8Array
const text = (value) => typeof value === "string"
const map = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && !bytes(value)
const integer = (value) => Number.isSafeInteger(value)

// Message number -> the forms of its items after the number. What a client never receives is not here.
const FORMS = new Map([
  [HOST_HELLO, [map]],
  [WELCOME, [map]],
  [ACCEPT, [uint, map, uint]],
  [DATA, [uint, bytes]],
  [CREDIT, [uint, uint, uint]],
  [END, [uint, integer]],
  [STOP, [uint]],
  [LOG, [uint, uint, bytes]],
  [RESULT, [uint, map]],
  [ERROR, [uint, map]],
  [PING, [uint]],
  [PONG, [uint]],
  [FAREWELL, [map]],
])

// What a host may say on one channel: where it is -> message -> where it is then. gatebus/protocol/transitions.py says why.
const FLOWING = { [DATA]: "flowing", [CREDIT]: "flowing", [STOP]: "flowing", [LOG]: "flowing", [END]: "ended" }
const ENDED = { [CREDIT]: "ended", [STOP]: "ended", [LOG]: "ended" }
const OVER = { [RESULT]: "over", [ERROR]: "over" }
const STAGES = { asked: { [ACCEPT]: "flowing", ...OVER }, flowing: { ...FLOWING, ...OVER }, ended: { ...ENDED, ...OVER } }

/** Where a channel is after a message of the host. Throws ProtocolFault. */
export function after(stage, kind) {
  const next = STAGES[stage]?.[kind]
  if (next === undefined) throw new ProtocolFault("The host said something that has no place there.")
  return next
}

/** ArrayBuffer of one websocket message -> [number, ...items]. Throws ProtocolFault. */
export function parseUntrusted(buffer) {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength > MESSAGE_MAX) throw new ProtocolFault("The host sent no message of gatebus.v1.")
  const message = decoded(new Uint8Array(buffer))
  const forms = Array.isArray(message) ? FORMS.get(message[0]) : undefined
  if (forms === undefined || message.length !== forms.length + 1 || !forms.every((fits, at) => fits(message[at + 1])))
    throw new ProtocolFault("The host sent a malformed message.")
  return message
}

function decoded(data) {
  try {
    return decode(data, { allowIndefinite: false, rejectDuplicateMapKeys: true, strict: true })
  } catch {
    throw new ProtocolFault("The host sent something that is not CBOR.")
  }
}

/** [number, ...items] -> Uint8Array. */
export const encodeMessage = (message) => encode(message)

/** A random name of 16 bytes, for a stream or an instance. */
export const newName = () => crypto.getRandomValues(new Uint8Array(16))

export const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** "0123..." (with or without the dashes of a UUID) -> Uint8Array. */
export function unhex(string) {
  const digits = string.replaceAll("-", "")
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) throw new TypeError(`${string} is not hexadecimal`)
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16))
}
