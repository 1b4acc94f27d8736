// The pure modules of the browser's library, run by node's own test runner (tests/browser/test_javascript.py starts it).

import assert from "node:assert/strict"
import { test } from "node:test"

import * as answers from "../../gatebus/browser/answers.js"
import * as wire from "../../gatebus/browser/protocol.js"
import { Inflow, Outflow } from "../../gatebus/browser/streams.js"
import { decode, encode } from "../../gatebus/browser/vendor/cborg/cborg.js"

// A small generator with a seed, so that a failure can be run again.
function dice(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
}

const buffer = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
const numbers = (from, size) => Uint8Array.from({ length: size }, (_, at) => (from + at) % 251)

test("a stream that loses its link again and again arrives whole and in order", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const roll = dice(seed)
    const [outflow, inflow] = [new Outflow(), new Inflow(64)]
    const arrived = []
    let written = 0
    let unread = 0
    let pipe = [] // pieces on the way; a lost link loses them
    outflow.rewind(0, 64)
    for (let step = 0; step < 200 || arrived.length < written; step++) {
      const what = step < 200 ? roll(6) : 1 + roll(3)
      if (what === 0) {
        const size = roll(90)
        outflow.write(numbers(written, size))
        written += size
      } else if (what === 1) {
        for (let piece; (piece = outflow.next(1 + roll(40))); ) pipe.push(piece)
      } else if (what === 2 && pipe.length) {
        const piece = pipe.shift()
        assert(inflow.accept(piece.length), "more than was allowed")
        arrived.push(...piece)
        unread += piece.length
      } else if (what === 3 && unread) {
        const size = 1 + roll(unread)
        unread -= size
        const credit = inflow.consume(size)
        if (credit) assert(outflow.credit(...credit))
      } else if (what === 4) {
        pipe = [] // lost, and attached again
        outflow.rewind(inflow.received, inflow.told - inflow.received)
      }
      assert(outflow.waiting <= written && outflow.sent - outflow.taken <= 64 * 2)
    }
    assert.deepEqual(arrived, Array.from(numbers(0, written)))
  }
})

test("an outflow sends its end once, after its last byte, and again on a new link", () => {
  const outflow = new Outflow()
  outflow.rewind(0, 4)
  outflow.write(numbers(0, 6))
  outflow.ended = true
  assert.equal(outflow.next(100).length, 4)
  assert.equal(outflow.endDue, false)
  outflow.credit(4, 4)
  assert.equal(outflow.next(100).length, 2)
  assert.equal(outflow.endDue, true)
  outflow.endSent = true
  outflow.rewind(5, 4)
  assert.deepEqual(Array.from(outflow.next(100)), [5])
  assert.equal(outflow.endDue, true)
})

test("what went with an open counts as sent, and goes again when that was lost", () => {
  const outflow = new Outflow()
  outflow.write(numbers(0, 6))
  outflow.ended = true
  assert.deepEqual(Array.from(outflow.first(4)), [0, 1, 2, 3])
  assert.deepEqual(Array.from(outflow.first(6)), [0, 1, 2, 3, 4, 5])
  assert.equal(outflow.endDue, true)
  outflow.endSent = true
  assert.equal(outflow.rewind(7, 4), false)
  assert(outflow.rewind(6, 4))
  assert.equal(outflow.next(10), undefined)
  assert.equal(outflow.endDue, false)
})

test("credit for bytes that were never sent is not believed", () => {
  const outflow = new Outflow()
  outflow.rewind(0, 4)
  outflow.write(numbers(0, 3))
  outflow.next(2)
  assert.equal(outflow.credit(3, 100), false)
  assert.equal(outflow.limit, 4)
})

test("an inflow refuses what is beyond its window and what comes after the end", () => {
  const inflow = new Inflow(10)
  assert(inflow.accept(10))
  assert(!inflow.accept(1))
  inflow.ended = true
  assert(!inflow.accept(0))
})

test("every message of a host is parsed as it was sent", () => {
  const bytes = numbers(0, 32)
  const messages = [
    [wire.HOST_HELLO, { version: 1, key: bytes }], [wire.WELCOME, { principal: "anonymous" }], [wire.ACCEPT, 1, { taken: 0 }, 65536],
    [wire.DATA, 7, bytes], [wire.CREDIT, 7, 0, 5], [wire.END, 7, -1], [wire.STOP, 7], [wire.LOG, 7, 2, bytes],
    [wire.RESULT, 2 ** 32 - 1, {}], [wire.ERROR, 0, { code: "protocol", text: "no" }], [wire.PING, 9], [wire.PONG, 9],
    [wire.FAREWELL, { code: "stopping", text: "", within: 5 }],
  ]
  for (const message of messages) assert.deepEqual(wire.parseUntrusted(buffer(encode(message))), message)
})

test("what is not a message of a host is a fault of the host and nothing else", () => {
  const wrong = [
    [], [99], ["6", 1, numbers(0, 1)], [wire.DATA, -1, numbers(0, 1)], [wire.DATA, 1, "text"], [wire.DATA, 1], [wire.DATA, 1, numbers(0, 1), 1],
    [wire.ACCEPT, 1, [], 1], [wire.RESULT, 1, null], [wire.OPEN, 1, "call", {}, 1], { 0: 6 }, 6, null, "6",
  ]
  for (const message of wrong) assert.throws(() => wire.parseUntrusted(buffer(encode(message))), wire.ProtocolFault)
  const good = encode([wire.RESULT, 5, { a: [1, 2, numbers(0, 9)], b: "text" }])
  const roll = dice(7)
  for (let round = 0; round < 20000; round++) {
    const broken = good.slice(0, 1 + roll(good.length))
    broken[roll(broken.length)] = roll(256)
    try {
      wire.parseUntrusted(buffer(broken))
    } catch (problem) {
      assert(problem instanceof wire.ProtocolFault)
    }
  }
  assert.throws(() => wire.parseUntrusted("text"), wire.ProtocolFault)
  assert.throws(() => wire.parseUntrusted(new ArrayBuffer(70000)), wire.ProtocolFault)
})

test("names are written as hexadecimal and read with or without dashes", () => {
  assert.equal(wire.hex(wire.unhex("00ff10")), "00ff10")
  assert.deepEqual(wire.unhex("01234567-89ab-cdef-0123-456789abcdef"), wire.unhex("0123456789abcdef0123456789abcdef"))
  for (const wrong of ["0", "0g", "é1"]) assert.throws(() => wire.unhex(wrong), TypeError)
  assert.equal(wire.newName().length, 16)
})

test("a channel goes only where the table leads", () => {
  assert.equal(wire.after("asked", wire.ACCEPT), "flowing")
  assert.equal(wire.after("flowing", wire.DATA), "flowing")
  assert.equal(wire.after(wire.after("flowing", wire.END), wire.RESULT), "over")
  const wrong = [["asked", wire.DATA], ["flowing", wire.ACCEPT], ["ended", wire.DATA], ["ended", wire.END], ["over", wire.RESULT], ["flowing", wire.PING]]
  for (const [stage, kind] of wrong) assert.throws(() => wire.after(stage, kind), wire.ProtocolFault)
})

test("what a host answers has its types or is a fault", () => {
  const usage = { cpu_ms: 1, peak_memory: 2, bytes_in: 3, bytes_out: 4, wall_ms: 5, log_dropped: 6 }
  const good = { state: "HALTED", cause: "NORMAL", result: 0, usage }
  assert.deepEqual(answers.outcomeUntrusted(good), good)
  assert.deepEqual(answers.outcomeUntrusted({}), {})
  assert.deepEqual(answers.outcomeUntrusted({ ended: good }), { ended: good })
  assert.deepEqual(answers.outcomeUntrusted({ state: "KILLED" }).usage, { cpu_ms: 0, peak_memory: 0, bytes_in: 0, bytes_out: 0, wall_ms: 0, log_dropped: 0 })
  assert.equal(answers.outcomeUntrusted({ state: "KILLED", text: "x".repeat(999) }).text.length, 400)
  for (const wrong of [{ state: 1 }, { ...good, result: "0" }, { ...good, cause: {} }, { ...good, usage: [] }, { ended: null }, { ended: 5 }])
    assert.throws(() => answers.outcomeUntrusted(wrong), wire.ProtocolFault)
  assert.deepEqual(answers.acceptUntrusted({ instance: numbers(0, 16) }), { instance: wire.hex(numbers(0, 16)), taken: 0 })
  for (const wrong of [{ taken: -1 }, { taken: 0.5 }, { taken: "5" }, { instance: { length: 9 } }, { instance: numbers(0, 15) }])
    assert.throws(() => answers.acceptUntrusted(wrong), wire.ProtocolFault)
  const problem = answers.problemUntrusted({ code: { toString: 1 }, text: 5 })
  assert.deepEqual([problem.code, problem.text], ["internal", ""])
})

test("a stream is not rewound to what was never sent, nor behind what was given up", () => {
  const outflow = new Outflow()
  assert(outflow.rewind(0, 10))
  outflow.write(numbers(0, 8))
  outflow.next(5)
  assert(!outflow.rewind(6, 10))
  assert(outflow.rewind(4, 10))
  assert(!outflow.rewind(3, 10))
})

// A bus to a host that only says hello; what it sends stays in its socket.
async function connected(features = []) {
  const sockets = []
  globalThis.WebSocket = class {
    bufferedAmount = 0
    constructor() {
      sockets.push(this)
    }
    sent = []
    send(data) {
      this.bufferedAmount += data.length
      this.sent.push(decode(data))
    }
    close() {}
  }
  const { connect } = await import("../../gatebus/browser/gatebus.js")
  const ready = connect("ws://host.example/bus")
  const [socket] = sockets
  const say = (...message) => socket.onmessage({ data: buffer(encode(message)) })
  socket.onopen()
  say(wire.HOST_HELLO, { version: 1, agent: "x", features, challenge: numbers(0, 32), key: numbers(0, 32), proof: numbers(0, 64), limits: {} })
  return { bus: await ready, socket, say }
}

test("the first input of a call goes with its open to a host that knows that, and as data to one that does not", async () => {
  for (const [features, opened, later] of [
    [["input"], { input: numbers(0, 3), end: 0 }, []],
    [["other"], {}, [[wire.DATA, 1, numbers(0, 3)], [wire.END, 1, 0]]],
    [null, {}, [[wire.DATA, 1, numbers(0, 3)], [wire.END, 1, 0]]],
  ]) {
    const { bus, socket, say } = await connected(features)
    const run = bus.call("00".repeat(32))
    run.write(numbers(0, 3))
    run.end()
    await new Promise((resolve) => setImmediate(resolve))
    const [, , , { stream, module, ...told }] = socket.sent.at(-1)
    assert.equal(stream.length + module.length, 48)
    assert.deepEqual(told, opened)
    const before = socket.sent.length
    say(wire.ACCEPT, 1, { instance: numbers(0, 16), taken: opened.input?.length ?? 0 }, 1000)
    assert.deepEqual(socket.sent.slice(before), later)
    bus.close()
  }
})

test("a request that no message holds is refused before it is sent, and the bus goes on", async () => {
  const { bus, socket } = await connected()
  const before = socket.bufferedAmount
  const run = bus.call("00".repeat(32), { args: ["x".repeat(70000)] })
  await assert.rejects(run.result, (problem) => problem.code === "too-large" && /take 70\d\d\d bytes, and a request holds 65600/.test(problem.message))
  assert.equal(socket.bufferedAmount, before)
  bus.call("00".repeat(32), { args: ["x"] })
  await new Promise((resolve) => setImmediate(resolve))
  assert(socket.bufferedAmount > before)
  bus.close()
})

test("a host that reads nothing and pings for ever does not fill the socket", async () => {
  const { bus, socket, say } = await connected()
  for (let number = 0; number < 50000; number++) say(wire.PING, number)
  assert(socket.bufferedAmount > 0 && socket.bufferedAmount < 70000)
  bus.close()
})
