// The page of a host: drop a program or write JavaScript, run it, talk to it, see what it cost.

import { BusError, connect } from "/gatebus.js"

// What the output may hold: a program that prints for ever must not fill the tab's memory.
const OUTPUT_MAX = 200000
// Milliseconds between two looks at the output.
const FRAME = 16
const EXAMPLE = `// This runs on the host, in a JavaScript interpreter that is itself a sandboxed program.
let [a, b] = [0n, 1n]
for (let i = 0; i < 90; i++) [a, b] = [b, a + b]
print("fibonacci(90) =", a)
`

const $ = (id) => document.getElementById(id)
let bus, run, module, interpreter

// ---- what is shown

// [text, style] for the next frame: a program may write faster than anybody can see, and the page has to stay usable.
const pending = []
let unshown = 0

function show(text, style = "") {
  if (text === "") return
  if (pending.length === 0) setTimeout(render, FRAME)
  const last = pending.at(-1)
  if (last?.[1] === style) last[0] = (last[0] + text).slice(-OUTPUT_MAX)
  else pending.push([text.slice(-OUTPUT_MAX), style])
  for (unshown += text.length; unshown > OUTPUT_MAX && pending.length > 1; ) unshown -= pending.shift()[0].length
}

function render() {
  const output = $("output")
  const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40
  for (const [text, style] of pending.splice(0)) {
    const piece = document.createElement("span")
    piece.className = style
    piece.textContent = text
    output.append(piece)
  }
  unshown = 0
  for (let size = output.textContent.length; size > OUTPUT_MAX && output.childElementCount > 1; ) {
    size -= output.firstChild.textContent.length
    output.firstChild.remove()
  }
  if (atEnd) output.scrollTop = output.scrollHeight
}

const size = (bytes) => (bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`)
const time = (ms) => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`)

function showState(text, bad = false) {
  $("state").textContent = text
  $("state").className = bad ? "bad" : ""
}

function showOutcome({ state, cause, result, text, usage }) {
  render()
  const exit = state === "KILLED" ? `killed: ${cause}` : result ? `ended with ${result}` : "ended well"
  showState(text ? `${exit}. ${text}` : exit, state === "KILLED" || result !== 0)
  $("cpu").textContent = time(usage.cpu_ms)
  $("memory").textContent = size(usage.peak_memory)
  $("bytes").textContent = `${size(usage.bytes_in)} / ${size(usage.bytes_out)}`
  $("wall").textContent = time(usage.wall_ms)
}

function allow(running) {
  $("run").disabled = running || bus?.state !== "open" || !(scripting() ? interpreter : module)
  for (const id of ["stop", "input", "send", "end"]) $(id).disabled = !running
}

// ---- the program

const scripting = () => $("tab-script").getAttribute("aria-selected") === "true"

function choose(tab) {
  for (const [button, panel] of [["tab-file", "file-panel"], ["tab-script", "script-panel"]]) {
    $(button).setAttribute("aria-selected", String(button === tab))
    $(panel).hidden = button !== tab
  }
  allow(run !== undefined)
}

async function take(file) {
  if (!file) return
  module = new Uint8Array(await file.arrayBuffer())
  $("chosen").textContent = file.name
  $("about").textContent = size(module.length)
  allow(run !== undefined)
}

/** `one "two three"` -> ["one", "two three"] */
const words = (line) => Array.from(line.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, plain]) => quoted ?? plain)

function order() {
  const args = words($("arguments").value)
  if (!scripting()) return [module, { args: [$("chosen").textContent, ...args] }]
  const source = new TextEncoder().encode($("script").value)
  return [interpreter.module, { args: [...interpreter.args, ...args], files: { [interpreter.file]: source }, limits: interpreter.limits }]
}

const wireName = (sha256) => Array.from(sha256, (byte) => byte.toString(16).padStart(2, "0")).join("")

async function start() {
  render()
  $("output").replaceChildren()
  for (const id of ["first", "cpu", "memory", "bytes", "wall"]) $(id).textContent = "-"
  showState("starting")
  const [program, options] = order()
  const begun = performance.now()
  run = bus.call(await uploaded(program), options)
  allow(true)
  run.accepted.then(() => showState("running"), () => {})
  run.onlog = (_stream, data) => show(new TextDecoder().decode(data), "log")
  $("input").focus()
  await Promise.all([read(run, begun), run.result]).then(([, outcome]) => showOutcome(outcome), explain)
  run = undefined
  allow(false)
}

async function uploaded(program) {
  if (typeof program === "string") return program
  $("progress").hidden = false
  try {
    return wireName((await bus.upload(program, (done, all) => ($("progress").value = all ? done / all : 1))).sha256)
  } finally {
    $("progress").hidden = true
  }
}

async function read(running, begun) {
  const decoder = new TextDecoder()
  for await (const piece of running.output) {
    if ($("first").textContent === "-") $("first").textContent = time(performance.now() - begun)
    show(decoder.decode(piece, { stream: true }))
  }
}

function explain(problem) {
  showState("not run", true)
  show(`${problem.message}\n`, "bad")
  render()
  if (!(problem instanceof BusError)) throw problem
}

function attempt(action) {
  action().catch((problem) => {
    run = undefined
    allow(false)
    explain(problem)
  })
}

// ---- what a person does

$("tab-file").onclick = () => choose("tab-file")
$("tab-script").onclick = () => choose("tab-script")
$("file").onchange = () => take($("file").files[0])
$("run").onclick = () => attempt(start)
$("stop").onclick = () => run?.cancel()
$("end").onclick = () => run?.end()
$("say").onsubmit = (event) => {
  event.preventDefault()
  const line = `${$("input").value}\n`
  show(line, "ours")
  run?.write(line).catch(explain)
  $("input").value = ""
}
const drop = $("drop")
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => (event.preventDefault(), drop.classList.add("over")))
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"))
drop.addEventListener("drop", (event) => (event.preventDefault(), take(event.dataTransfer.files[0])))

// ---- the host

async function begin() {
  $("script").value = EXAMPLE
  const onState = (state, text) => {
    $("link").dataset.state = state
    $("link").textContent = text || { open: "connected", lost: "connection lost, trying again" }[state] || state
    allow(run !== undefined)
  }
  bus = await connect(undefined, { onState })
  $("link").title = bus.host.agent
  window.gatebusPage = { bus } // for whoever opens the console
  window.addEventListener("pagehide", () => bus.close()) // its program ends with the page
  interpreter = (await bus.ask("features")).interpreters?.[".js"]
  $("no-interpreter").hidden = interpreter !== undefined
  allow(false)
}

begin().catch((problem) => {
  if (!(problem instanceof BusError)) throw problem
  $("link").textContent = problem.message
})
