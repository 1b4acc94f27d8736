// What a user writes, checked against gatebus.d.ts by the TypeScript compiler; never run.
import { Bus, BusError, connect, type Outcome } from "../../gatebus/browser/gatebus.js"

export async function sample(wasm: Uint8Array): Promise<Outcome> {
  const bus: Bus = await connect("ws://127.0.0.1:6473/bus", { onState: (state, text) => console.log(state, text) })
  const run = bus.call(wasm, { args: ["a"], limits: { memory: 1 << 24 } })
  run.onlog = (stream, data) => console.error(stream, data.length)
  await run.write("line\n")
  run.end()
  const reader = run.output.getReader()
  const { value } = await reader.read()
  if (value) console.log(value.length)
  // @ts-expect-error: a number is no program
  bus.call(7)
  try {
    return await run.result
  } catch (problem) {
    if (problem instanceof BusError) console.log(problem.code)
    throw problem
  }
}
