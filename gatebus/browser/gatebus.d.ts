/** Types of gatebus.js. */

export interface KeyPair {
  /** 32 bytes, as in an OpenSSH ed25519 public key. */
  public: Uint8Array
  /** A WebCrypto Ed25519 private key with the usage "sign"; it need not be extractable. */
  secret: CryptoKey
}

export interface ConnectOptions {
  /** Who we are; without it the host takes us as anonymous. */
  key?: KeyPair
  /** The host's public key, bytes or hexadecimal: any other host is refused. */
  hostKey?: Uint8Array | string
  /** How often to try in a row before giving up: 60, for the first connection 3. */
  attempts?: number
  onState?: (state: "connecting" | "open" | "lost" | "leaving" | "closed", text: string) => void
}

export interface ProgramOptions {
  function?: string
  args?: string[]
  env?: Record<string, string>
  files?: Record<string, Uint8Array>
  wantFiles?: boolean
  /** Names and units as in `gatebus run --help`: for example { memory: 67108864, cpu_time: 10 }. */
  limits?: Record<string, number>
}

export interface LaunchOptions extends ProgramOptions {
  /** Whoever knows the instance's name may connect to it. */
  open?: boolean
  tags?: string[]
}

export interface Usage {
  cpu_ms: number
  peak_memory: number
  bytes_in: number
  bytes_out: number
  wall_ms: number
  log_dropped: number
}

/** How a program ended. Of `io` it is empty unless the program has ended. `result`: of one that ended by itself. */
export interface Outcome {
  state: "HALTED" | "TERMINATED" | "KILLED"
  cause: string
  result?: number
  text?: string
  usage: Usage
  [more: string]: unknown
}

export class BusError extends Error {
  readonly code: string
  readonly details: Record<string, unknown>
}

export class Run {
  /** Its name (32 hexadecimal digits), once the host has accepted. */
  readonly instance: string | undefined
  readonly accepted: Promise<Run>
  /** What the program writes. Not reading it stops the program, nobody else. */
  readonly output: ReadableStream<Uint8Array>
  readonly result: Promise<Outcome>
  /** What it writes to stderr (1) and its debug log (2). */
  onlog: ((stream: 1 | 2, data: Uint8Array) => void) | undefined
  write(data: string | Uint8Array): Promise<void>
  end(): void
  cancel(): void
}

export class Bus {
  readonly ready: Promise<Bus>
  readonly state: "connecting" | "open" | "lost" | "closed"
  readonly host: { agent: string; features: string[]; limits: Record<string, number>; key: Uint8Array } | undefined
  readonly principal: string | undefined
  constructor(address: string, options: ConnectOptions)
  call(module: Uint8Array | ArrayBuffer | string, options?: ProgramOptions): Run
  io(instance: string | Uint8Array): Run
  launch(module: Uint8Array | ArrayBuffer | string, options?: LaunchOptions): Promise<string>
  upload(data: Uint8Array, progress?: (done: number, size: number) => void): Promise<{ sha256: Uint8Array; size?: number; known?: boolean }>
  ask(operation: string, parameters?: Record<string, unknown>): Promise<Record<string, unknown>>
  /** Lose the connection as a network does; it is made again. For tests and for showing it. */
  interrupt(): void
  /** Done with this host: what is open is let go, so that nobody waits for us to come back. Calls are killed. */
  close(): void
}

export function connect(address?: string, options?: ConnectOptions): Promise<Bus>
