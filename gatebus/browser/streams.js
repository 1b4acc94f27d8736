// The two directions of one stream: counts and credit; words. PROTOCOL.md, section "Streams".

/** Bytes of ours on the way to the program. Keeps what the host has not taken, so that it can be sent again. */
export class Outflow {
  constructor() {
    this.taken = 0 // the host has so many
    this.sent = 0 // of what was written, on this link or an earlier one
    this.written = 0
    this.limit = 0 // the host allows sending up to here
    this.ended = false
    this.endSent = false
    this.stopped = false // the program reads no more
    this.kept = [] // pieces from `taken` on
  }

  write(data) {
    this.kept.push(data)
    this.written += data.length
  }

  /** The host's word. True when there may be something to do. */
  credit(taken, window) {
    if (taken > this.sent) return false
    this.drop(taken)
    this.limit = Math.max(this.limit, taken + window)
    return true
  }

  /** A new link: the host has `taken`, everything after it is sent again. False: it cannot have so many, or so few. */
  rewind(taken, window) {
    if (taken < this.taken || taken > this.sent) return false
    this.drop(taken)
    if (this.sent > this.taken) this.endSent = false
    this.sent = this.taken
    this.limit = this.taken + window
    return true
  }

  /** What goes with the open of its stream, up to `most` bytes; what went with an earlier one, which was lost, goes again. */
  first(most) {
    this.rewind(this.taken, most)
    const found = []
    for (let piece; (piece = this.next(most)); ) found.push(...piece)
    return Uint8Array.from(found)
  }

  drop(taken) {
    while (this.taken < taken && this.kept.length) {
      const gone = Math.min(taken - this.taken, this.kept[0].length)
      if (gone === this.kept[0].length) this.kept.shift()
      else this.kept[0] = this.kept[0].subarray(gone)
      this.taken += gone
    }
  }

  /** The next piece that may be sent, at most `most` bytes; undefined when there is none. */
  next(most) {
    const size = Math.min(this.limit, this.written) - this.sent
    if (this.stopped || size <= 0) return undefined
    let at = this.taken
    for (const piece of this.kept) {
      if (this.sent < at + piece.length) {
        const from = this.sent - at
        const part = piece.subarray(from, Math.min(piece.length, from + most, from + size))
        this.sent += part.length
        return part
      }
      at += piece.length
    }
    return undefined
  }

  /** The end is to be said now. */
  get endDue() {
    return this.ended && !this.endSent && (this.stopped || this.sent === this.written)
  }

  get waiting() {
    return this.stopped ? 0 : this.written - this.taken
  }
}

/** Bytes of the program on the way to us. */
export class Inflow {
  constructor(window) {
    this.window = window
    this.received = 0
    this.consumed = 0
    this.told = window // the host may send up to here
    this.ended = false
    this.stopped = false
  }

  /** False: nothing at all, more than was allowed, or after the end. */
  accept(size) {
    if (this.ended || size === 0 || this.received + size > this.told) return false
    this.received += size
    return true
  }

  /** The reader took so many bytes: [taken, window] when it is time to tell the host, else undefined. */
  consume(size) {
    this.consumed += size
    const limit = this.consumed + this.window
    if (limit - this.told < this.window / 4 && this.consumed < this.received) return undefined
    if (limit === this.told) return undefined
    this.told = limit
    return [this.received, limit - this.received]
  }

  /** What is said at the end: everything is here. */
  all() {
    return [this.received, this.told - this.received]
  }
}
