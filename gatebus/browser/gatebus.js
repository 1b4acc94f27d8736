// gatebus for browsers: send programs to a host and talk to them. One ES module, no build step; types in gatebus.d.ts.
//
//     import { connect } from "/gatebus.js"
//     const bus = await connect()                                   // the host that served this page
//     const run = bus.call(wasmBytes, { args: ["world"] })          // uploads it when the host does not know it
//     for await (const piece of run.output) console.log(piece)      // Uint8Array
//     console.log(await run.result)                                 // { state, cause, result, usage, ... }
//
// A lost connection is made again by itself; streams go on where they were, without a lost or doubled byte.

import { acceptUntrusted, helloUntrusted, instanceUntrusted, outcomeUntrusted, problemUntrusted, text } from "./answers.js"
import * as wire from "./protocol.js"
import { Inflow, Outflow } from "./streams.js"

// Bytes of a program's output that may wait here for a reader: about what a page shows.
const WINDOW = 262144
// Bytes of input that may wait for the host before `write` asks for patience.
const INPUT_WAITING = 262144
// Milliseconds between attempts to connect again: quick at first, then at human pace.
const PAUSES = [0, 250, 500, 1000, 2000, 4000, 8000]
// Milliseconds until a host has to answer a hello, and how long a link may be silent before it is asked.
const HELLO_TIME = 10000
const SILENCE = 20000
// Bytes of files that travel inside of the request itself, which has to fit one message.
const FILES_INLINE = 32768
// Bytes of one data message of ours.
const CHUNK = 65536
// A feature of both sides: the first bytes of a call's input, so many at most, and its end may come with its open.
const INPUT = "input"
const INPUT_BYTES = 8192
// Bytes that may wait in the websocket before pings are left unanswered: a host that reads nothing does not miss them.
const UNSENT = 65536
// Milliseconds after which a link was worth something: the next attempt is made at once.
const STEADY = 5000

/** What a host answered, or why there is no answer: `code` is stable, `message` is for the person. */
export class BusError extends Error {
  constructor(code, message, details = {}) {
    super(message)
    this.name = "BusError"
    this.code = code
    this.details = details
  }
}

/** What a host said of something that it refuses, as an error. */
function refusal(about) {
  const { code, text, details } = problemUntrusted(about)
  return new BusError(code, text, details)
}

const NO_HASHES = "Browsers compute hashes only on pages that came by https or from this machine: the host needs a certificate."
// The host would end the link, and every later one.
const tooLarge = (size) =>
  `The arguments, variables and names of files take ${size} bytes, and a request holds ${wire.MESSAGE_MAX}. Put them into one file.`

const gone = () => new BusError("closed", "The connection was closed here.")

// A browser does not tell a page that it was refused for where it is from.
function unreachable(greeted) {
  const from = globalThis.location?.origin
  const perhaps = greeted || !from ? "" : ` If it is: its owner has to add ${from} to its setting \`origins\`.`
  return `The host cannot be reached. Is it running?${perhaps}`
}

/** Connect to a host; the promise is settled by its first answer. */
export async function connect(address = defaultAddress(), options = {}) {
  const bus = new Bus(address, options)
  await bus.ready
  return bus
}

function defaultAddress() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/bus`
}

export class Bus {
  #address
  #options
  #socket
  #state = "connecting" // connecting | open | lost | closed
  #attempt = 0
  #next = 1
  #channels = new Map() // number -> Channel, on this link
  #waiting = new Set() // channels without a link
  #challenge
  #heard = 0
  #opened = 0 // when this link was greeted; 0: not yet
  #timer
  #settle

  constructor(address, options) {
    this.#address = address
    this.#options = options
    this.host = undefined // what the host says of itself: { agent, features, limits, key }
    this.principal = undefined
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    this.#timer = setInterval(() => this.#watch(), SILENCE / 2)
    this.#dial()
  }

  get state() {
    return this.#state
  }

  // ---- operations

  /** Run a program: its bytes, its sha256 in hexadecimal, or a source such as "ipfs://...". */
  call(module, options = {}) {
    return this.#run("call", module, options)
  }

  /** A new connection to a running instance. */
  io(instance) {
    const run = new Run(this, "io", { instance: name(instance) })
    this.#open(run)
    return run
  }

  /** Start a program that runs on without us; the promise has its instance's name. */
  async launch(module, options = {}) {
    const known = { module: await this.#known(module), ...(await this.#placed(options.files)) }
    const parameters = { ...programParameters(options), ...known, instance: wire.newName() }
    if (options.open) parameters.open = true
    if (options.tags) parameters.tags = options.tags
    const answer = await this.ask("launch", parameters)
    return sensible(() => instanceUntrusted(answer))
  }

  /** Any operation that has no stream: list, status, wait, kill, delete, pin, unpin, modules, usage, features. */
  ask(operation, parameters = {}) {
    const channel = new Question(operation, parameters)
    this.#open(channel)
    return channel.answer
  }

  /** Hand over a module; resolves with { sha256, size, known }. `progress(done, size)` is called now and then. */
  async upload(data, progress = () => {}) {
    if (!crypto.subtle) throw new BusError("insecure-page", NO_HASHES)
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", data))
    const channel = new Upload(this, data, { sha256, size: data.length }, progress)
    this.#open(channel)
    return channel.answer
  }

  /** Lose the connection as a network does; it is made again. For tests and for showing it. */
  interrupt() {
    this.#socket.close()
  }

  /** Done with this host: what is open is let go, so that nobody waits for us to come back. */
  close() {
    for (const channel of this.#channels.values()) this.send([wire.CANCEL, channel.number])
    this.#end(gone())
    this.#socket?.close(1000)
  }

  #run(operation, module, options) {
    const run = new Run(this, operation, programParameters(options))
    const ready = Promise.all([this.#known(module), this.#placed(options.files)])
    ready.then(
      ([known, placed]) => {
        Object.assign(run.parameters, { module: known }, placed)
        if (!run.over) this.#open(run)
      },
      (problem) => run.fail(problem),
    )
    return run
  }

  /** { files } as they are told: what does not fit into a message is uploaded first and named by its hash. */
  async #placed(files) {
    if (files === undefined) return {}
    let room = FILES_INLINE
    const placed = {}
    for (const [path, content] of Object.entries(files)) {
      room -= content.length
      placed[path] = room >= 0 ? content : { sha256: (await this.upload(content)).sha256 }
    }
    return { files: placed }
  }

  /** What `module` is called at the host; bytes are uploaded when it does not have them. */
  async #known(module) {
    if (module instanceof ArrayBuffer) module = new Uint8Array(module)
    if (typeof module === "string") return /^[0-9a-f]{64}$/i.test(module) ? wire.unhex(module) : module
    return (await this.upload(module)).sha256
  }

  // ---- channels

  #open(channel) {
    if (this.#state === "closed") return channel.fail(gone())
    if (this.#state !== "open") return void this.#waiting.add(channel)
    const [operation, parameters] = channel.opening()
    const request = [wire.OPEN, this.#next, operation, parameters, channel.window]
    const size = wire.encodeMessage(request).length
    if (size > wire.MESSAGE_MAX) return channel.fail(new BusError("too-large", tooLarge(size)))
    if (operation === "call" && this.host.features.includes(INPUT)) Object.assign(parameters, channel.first(wire.MESSAGE_MAX - size))
    channel.number = this.#next++
    channel.stage = "asked"
    this.#channels.set(channel.number, channel)
    this.send(request)
  }

  /** False: the host was never asked, or cannot be told now. Otherwise it still answers with a result or an error. */
  cancel(channel) {
    if (this.#waiting.delete(channel) || !this.#channels.has(channel.number)) return false
    this.send([wire.CANCEL, channel.number])
    return true
  }

  /** Ask again under a new number: the host does not know the stream that we wanted to attach to. */
  again(channel) {
    this.#channels.delete(channel.number)
    this.#open(channel)
  }

  send(message) {
    if (this.#state === "open" || message[0] <= wire.AUTH) this.#socket.send(wire.encodeMessage(message))
  }

  // ---- the link

  #dial() {
    this.#tell("connecting")
    const socket = (this.#socket = new WebSocket(this.#address, ["gatebus.v1"]))
    this.#opened = 0
    this.#next = 1
    socket.binaryType = "arraybuffer"
    const late = setTimeout(() => socket.close(), HELLO_TIME)
    socket.onopen = () => this.#greet()
    socket.onmessage = (event) => this.#state !== "closed" && this.#receive(event.data)
    socket.onclose = () => {
      clearTimeout(late)
      if (socket === this.#socket) this.#lost()
    }
    this.#settle.hello = () => clearTimeout(late)
  }

  #greet() {
    this.#heard = performance.now()
    this.#challenge = crypto.getRandomValues(new Uint8Array(32))
    const hello = { versions: [1], agent: "gatebus.js", features: [INPUT], challenge: this.#challenge }
    if (this.#options.key) hello.key = this.#options.key.public
    this.send([wire.CLIENT_HELLO, hello])
  }

  #receive(data) {
    this.#heard = performance.now()
    try {
      this.#handle(wire.parseUntrusted(data))
    } catch (problem) {
      if (!(problem instanceof wire.ProtocolFault)) throw problem
      this.#give(new BusError("protocol", problem.message))
    }
  }

  /** Not with this host: every link to it would be the same. */
  #give(error) {
    this.#end(error)
    this.#socket.close(1000)
  }

  #handle(message) {
    const [kind, first, second, third] = message
    if (kind === wire.ERROR && first === 0) return this.#refused(refusal(second))
    if ((kind === wire.HOST_HELLO) === this.#opened > 0) throw new wire.ProtocolFault("The host greeted too late, or twice.")
    if (kind === wire.HOST_HELLO) return this.#greeted(helloUntrusted(first))
    if (kind === wire.WELCOME) return void (this.principal = text(first.principal))
    if (kind === wire.PING) return this.#pong(first)
    if (kind === wire.PONG) return
    if (kind === wire.FAREWELL) return this.#tell("leaving", text(first.text))
    this.#pass(kind, first, second, third)
  }

  #pass(kind, number, second, third) {
    const channel = this.#channels.get(number)
    if (number === 0 || number >= this.#next) throw new wire.ProtocolFault("The host answered what nobody asked.")
    if (channel === undefined) return // late: the channel is over here
    channel.stage = wire.after(channel.stage, kind)
    const over = channel.stage === "over"
    channel.receive(kind, second, third) // a fault in it is told to this channel, too
    if (over) this.#channels.delete(number)
  }

  #pong(number) {
    if (this.#socket.bufferedAmount < UNSENT) this.send([wire.PONG, number])
  }

  #greeted(about) {
    this.#settle.hello()
    this.#opened = performance.now()
    const socket = this.#socket
    this.#welcomed(about, socket).catch((problem) => this.#give(new BusError("host-key", `The keys cannot be used: ${problem.message}`)))
  }

  async #welcomed(about, socket) {
    const fault = await untrusted(about, this.#challenge, this.#options)
    const ours = this.#options.key && !fault ? await proof(about, this.#challenge, this.#options.key) : undefined
    if (socket !== this.#socket || this.#state !== "connecting") return // it was lost meanwhile
    if (fault) return this.#give(fault)
    this.host = { agent: about.agent, features: about.features, limits: about.limits, key: about.key }
    if (ours) socket.send(wire.encodeMessage([wire.AUTH, ours]))
    this.#tell("open")
    this.#settle.resolve(this)
    const channels = [...this.#waiting]
    this.#waiting.clear()
    for (const channel of channels) this.#open(channel)
  }

  /** The host ends the whole link and says why. */
  #refused(error) {
    if (["stopping", "busy", "quota-connections", "too-slow"].includes(error.code) && this.host) return
    this.#give(error)
  }

  #lost() {
    if (this.#state === "closed") return
    for (const channel of this.#channels.values()) {
      channel.unlinked()
      this.#waiting.add(channel)
    }
    this.#channels.clear()
    const lived = this.#opened > 0 && performance.now() - this.#opened > STEADY
    this.#attempt = lived ? 1 : this.#attempt + 1
    if (this.#attempt > (this.#options.attempts ?? (this.host ? 60 : 3)))
      return this.#end(new BusError("unreachable", unreachable(this.host)))
    this.#tell("lost")
    const pause = PAUSES[Math.min(this.#attempt, PAUSES.length) - 1]
    setTimeout(() => this.#state === "lost" && this.#dial(), pause * (0.75 + Math.random() / 2))
  }

  /** A tab that slept, a cable that was pulled: nothing says so but silence. */
  #watch() {
    const silent = performance.now() - this.#heard
    if (this.#state !== "open" || silent < SILENCE) return
    if (silent > 2 * SILENCE) this.#socket.close()
    else this.send([wire.PING, Math.floor(this.#heard)])
  }

  #end(error) {
    if (this.#state === "closed") return
    clearInterval(this.#timer)
    this.#tell("closed", error.message)
    this.#settle.reject(error)
    for (const channel of [...this.#channels.values(), ...this.#waiting]) channel.fail(error)
    this.#channels.clear()
    this.#waiting.clear()
  }

  #tell(state, text = "") {
    if (state !== "leaving") this.#state = state
    this.#options.onState?.(state, text)
  }
}

// ---- who is at the other end

async function untrusted(about, challenge, options) {
  const wanted = typeof options.hostKey === "string" ? wire.unhex(options.hostKey) : options.hostKey
  if (wanted && wire.hex(about.key) !== wire.hex(wanted))
    return new BusError("host-key", "This is not the host that is expected here: its key is another one.")
  if (!wanted && !options.key) return undefined // a page trusts the server that it came from
  const key = await crypto.subtle.importKey("raw", about.key, "Ed25519", false, ["verify"]).catch(() => undefined)
  const said = await transcript("host", about, challenge, options.key)
  if (key && (await crypto.subtle.verify("Ed25519", key, about.proof, said))) return undefined
  return new BusError("host-key", "The host could not prove that it has its key.")
}

async function proof(about, challenge, key) {
  return new Uint8Array(await crypto.subtle.sign("Ed25519", key.secret, await transcript("client", about, challenge, key)))
}

async function transcript(side, about, challenge, key) {
  const all = joined([challenge, about.challenge, about.key, key ? key.public : new Uint8Array()])
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all))
  return joined([new TextEncoder().encode(`gatebus.v1 ${side}\0`), digest])
}

function joined(pieces) {
  const all = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0))
  let at = 0
  for (const piece of pieces) all.set(piece, (at += piece.length) - piece.length)
  return all
}

// ---- channels: one class per kind of conversation

/** What a host counts has to be possible. */
function checked(possible) {
  if (!possible) throw new wire.ProtocolFault("The host counts bytes that are not there.")
}

/** For answers that are read where nobody catches faults of the protocol. */
function sensible(read) {
  try {
    return read()
  } catch (problem) {
    throw problem instanceof wire.ProtocolFault ? new BusError("protocol", problem.message) : problem
  }
}

const name = (value) => (typeof value === "string" ? wire.unhex(value) : value)

function programParameters({ function: entry, args, env, wantFiles, limits }) {
  const given = { function: entry, args, env, want_files: wantFiles, limits }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

class Question {
  constructor(operation, parameters) {
    this.operation = operation
    this.parameters = parameters
    this.window = 0
    this.answer = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }))
    this.answer.catch(() => {}) // whoever asked sees it; a page that left does not
  }

  opening() {
    return [this.operation, this.parameters]
  }

  receive(kind, about) {
    if (kind === wire.RESULT) this.resolve(about)
    if (kind === wire.ERROR) this.fail(refusal(about))
  }

  unlinked() {}

  fail(error) {
    this.reject(error)
  }
}

class Upload extends Question {
  constructor(bus, data, parameters, progress) {
    super("upload", parameters)
    Object.assign(this, { bus, data, progress, flow: undefined })
  }

  receive(kind, about, window) {
    if (kind === wire.ACCEPT) this.start(acceptUntrusted(about).taken, window)
    else if (kind === wire.CREDIT) checked(this.flow.credit(about, window))
    else return super.receive(kind, { sha256: this.parameters.sha256, ...about })
    this.pump()
  }

  start(taken, window) {
    this.flow = new Outflow()
    this.flow.write(this.data)
    this.flow.ended = true
    this.flow.sent = taken // the host has those from an earlier attempt
    checked(taken <= this.data.length && this.flow.rewind(taken, window))
  }

  pump() {
    if (!this.flow) return
    for (let piece; (piece = this.flow.next(CHUNK)); ) this.bus.send([wire.DATA, this.number, piece])
    this.progress(this.flow.taken, this.data.length)
    if (this.flow.endDue) {
      this.flow.endSent = true
      this.bus.send([wire.END, this.number, 0])
    }
  }

  unlinked() {
    this.flow = undefined
  }
}

/** A program that we talk to. */
export class Run {
  #bus
  #stream = wire.newName()
  #accepted = false
  #input = new Outflow()
  #output = new Inflow(WINDOW)
  #patience = []
  #controller
  #sizes = []

  constructor(bus, operation, parameters) {
    this.#bus = bus
    this.operation = operation
    this.parameters = parameters
    this.window = WINDOW
    this.over = false
    this.instance = undefined // its name, once the host has accepted
    this.onlog = undefined // (1 | 2, Uint8Array) => void
    this.accepted = new Promise((resolve, reject) => (this.settle = { resolve, reject }))
    this.result = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }))
    this.accepted.catch(() => {})
    this.result.catch(() => {})
    /** A ReadableStream of Uint8Array: what the program writes. */
    this.output = new ReadableStream(
      { start: (controller) => void (this.#controller = controller), pull: () => this.#consume(), cancel: () => this.#stop() },
      { highWaterMark: 0 },
    )
  }

  // What people call.

  /** Text or bytes for the program; resolves when more may be written. */
  async write(data) {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data
    if (this.over || this.#input.ended || this.#input.stopped) throw new BusError("ended", "The program takes no more input.")
    this.#input.write(bytes)
    this.#pump()
    while (this.#input.waiting > INPUT_WAITING && !this.over) await new Promise((resolve) => this.#patience.push(resolve))
  }

  /** No more input: the program sees the end of its stdin. */
  end() {
    this.#input.ended = true
    this.#pump()
  }

  /** Of a call: the program is killed. Of `io`: only this connection ends. */
  cancel() {
    if (!this.over && !this.#bus.cancel(this)) this.fail(new BusError("cancelled", "It was cancelled here."))
  }

  // What the bus calls.

  opening() {
    this.#input.endSent = false
    if (!this.#accepted) return [this.operation, { ...this.parameters, stream: this.#stream }]
    return ["attach", { stream: this.#stream, taken: this.#output.received, gone: this.#input.taken }]
  }

  /** What of the input goes with the open of a call, where so many bytes are free in the message. */
  first(room) {
    const told = {}
    if (room < 2 * INPUT_BYTES) return told
    const input = this.#input.first(INPUT_BYTES)
    if (input.length) told.input = input
    if (this.#input.endDue) {
      this.#input.endSent = true
      told.end = 0
    }
    return told
  }

  receive(kind, about, third) {
    if (kind === wire.ACCEPT) this.#start(about, third)
    else if (kind === wire.DATA) this.#data(about)
    else if (kind === wire.CREDIT) checked(this.#input.credit(about, third))
    else if (kind === wire.END) this.#finish()
    else if (kind === wire.STOP) this.#input.stopped = true
    else if (kind === wire.LOG) this.onlog?.(about, third)
    else if (kind === wire.RESULT) return this.#end(outcomeUntrusted(about))
    else if (kind === wire.ERROR) return this.#refused(about)
    this.#pump()
  }

  unlinked() {}

  fail(error) {
    this.over = true
    this.settle.reject(error)
    this.reject(error)
    if (!this.#output.ended) this.#controller.error(error)
    this.#output.ended = true
    this.#wake()
  }

  #start(about, window) {
    const { instance, taken } = acceptUntrusted(about)
    checked(this.#input.rewind(taken, window))
    this.instance = instance ?? this.instance
    this.#accepted = true
    if (this.#output.stopped && !this.#output.ended) this.#bus.send([wire.STOP, this.number]) // a new link knows nothing of it
    this.settle.resolve(this)
  }

  /** The name exists: our first request had arrived although its answer was lost. */
  #refused(about) {
    if (about.code === "stream-exists" && !this.#accepted) {
      this.#accepted = true
      return this.#bus.again(this)
    }
    this.fail(refusal(about))
  }

  #data(piece) {
    if (!this.#output.accept(piece.length)) throw new wire.ProtocolFault("The host sent more than it was allowed to, or nothing.")
    if (this.#output.stopped) return
    this.#sizes.push(piece.length)
    this.#controller.enqueue(piece)
  }

  /** The reader took the pieces that are not in the queue any more. */
  #consume() {
    for (let queued = -this.#controller.desiredSize; this.#sizes.length > queued; ) {
      const credit = this.#output.consume(this.#sizes.shift())
      if (credit) this.#bus.send([wire.CREDIT, this.number, ...credit])
    }
  }

  #stop() {
    if (this.#output.ended || this.#output.stopped) return
    this.#output.stopped = true
    this.#bus.send([wire.STOP, this.number])
  }

  #finish() {
    this.#close()
    this.#bus.send([wire.CREDIT, this.number, ...this.#output.all()]) // the host may forget them, whoever reads when
  }

  #close() {
    if (!this.#output.ended && !this.#output.stopped) this.#controller.close()
    this.#output.ended = true
  }

  #end(result) {
    this.over = true
    this.settle.resolve(this)
    this.#close()
    this.resolve(result)
    this.#wake()
  }

  #pump() {
    if (!this.#accepted || this.number === undefined) return
    for (let piece; (piece = this.#input.next(CHUNK)); ) this.#bus.send([wire.DATA, this.number, piece])
    if (this.#input.endDue) {
      this.#input.endSent = true
      this.#bus.send([wire.END, this.number, 0])
    }
    if (this.#input.waiting <= INPUT_WAITING) this.#wake()
  }

  #wake() {
    for (const resolve of this.#patience.splice(0)) resolve()
  }
}
