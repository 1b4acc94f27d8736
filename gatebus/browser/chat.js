// A person in a chat room: the room is a program (examples/chat), its instance's name is in the address after the #.
// Lines of text both ways; examples/chat/README.md has what they mean.

import { BusError, connect } from "/gatebus.js"

// What a tab shows; the room keeps its own history.
const LINES_MAX = 1000

const $ = (id) => document.getElementById(id)
const here = new Set()
let run
let me = ""
let renamed = false // the name of the last visit was asked for

// ---- what is shown

function line(text, style = "", name = "") {
  const item = document.createElement("li")
  item.className = style
  if (name) item.append(Object.assign(document.createElement("b"), { textContent: name }))
  item.append(text)
  const list = $("lines")
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60
  list.append(item)
  while (list.childElementCount > LINES_MAX) list.firstChild.remove()
  if (atEnd) list.scrollTop = list.scrollHeight
}

function showPeople() {
  const items = [...here].sort().map((name) => {
    const item = document.createElement("li")
    item.textContent = name
    item.className = name === me ? "me" : ""
    return item
  })
  $("here").replaceChildren(...items)
}

function showMe(name) {
  me = name
  if (document.activeElement !== $("name")) $("name").value = name
}

function allow(open) {
  for (const id of ["name", "input", "send"]) $(id).disabled = !open
}

// ---- what the room says (untrusted: it is shown as text, never as anything else)

// A line's first letter -> what it means.
const MEANINGS = {
  "<": (text) => said(text, ""),
  "|": (text) => said(text, "old"),
  "+": (name) => change(() => here.add(name), `${name} came`),
  "-": (name) => change(() => here.delete(name), `${name} went`),
  "=": (names) => {
    const [old, name] = names.split(" ")
    if (old === me) showMe(name)
    change(() => here.delete(old) && here.add(name), `${old} is ${name} now`)
  },
  "?": (names) => change(() => names.split(" ").forEach((name) => name && here.add(name))),
  "#": (text) => word(text),
  "!": (text) => line(text, "bad"),
}

function heard(text) {
  const meaning = MEANINGS[text[0]]
  if (meaning) meaning(text[0] === "<" ? text : text.slice(text[0] === "|" ? 1 : 2))
}

function said(text, style) {
  const [, name, words] = /^<([^>]*)> (.*)$/.exec(text) ?? [null, "", text]
  line(words, `${style} ${name === me ? "mine" : ""}`, name)
}

function change(people, note) {
  people()
  showPeople()
  if (note) line(note, "note")
}

function word(text) {
  const [, topic] = /^(?:\S+ set the )?topic: (.*)$/.exec(text) ?? []
  if (topic) $("topic").textContent = topic
  if (!text.startsWith("you are ")) return line(text, "note")
  showMe(text.slice(8))
  here.add(me)
  showPeople()
  const last = localStorage.getItem("gatebus-name")
  if (last && last !== me && !renamed) tell(`/name ${last}`)
  renamed = true
  tell("/who")
}

// ---- the room

const tell = (text) => run?.write(`${text}\n`).catch((problem) => line(problem.message, "bad"))

async function visit() {
  if (location.hash.length < 33) throw new TypeError("no room")
  const onState = (state, text) => {
    $("link").dataset.state = state
    $("link").textContent = text || { open: "connected", lost: "connection lost, trying again" }[state] || state
  }
  const bus = await connect(undefined, { onState })
  window.gatebusPage = { bus } // for whoever opens the console
  window.addEventListener("pagehide", () => bus.close()) // who closes the tab leaves the room at once
  run = bus.io(decodeURIComponent(location.hash.slice(1)))
  await run.accepted
  allow(true)
  $("input").focus()
  const decoder = new TextDecoder()
  let rest = ""
  for await (const piece of run.output) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n")
    rest = lines.pop()
    lines.forEach(heard)
  }
  allow(false)
  line("The room is closed.", "note")
}

$("say").onsubmit = (event) => {
  event.preventDefault()
  if ($("input").value) tell($("input").value)
  $("input").value = ""
}
$("name").onchange = () => {
  localStorage.setItem("gatebus-name", $("name").value)
  tell(`/name ${$("name").value}`)
  $("input").focus()
}
window.onhashchange = () => location.reload()

visit().catch((problem) => {
  allow(false)
  if (!(problem instanceof BusError || problem instanceof TypeError)) throw problem
  line(problem instanceof BusError ? problem.message : "The address names no room: it ends with # and the room's name.", "bad")
})
