"""Bounds on what one account can make a host hold or do, with their reasons; words, no I/O.

Where it stands: beside gatebus.bounds, for gatebus.host. Quotas bound what runs and what is stored; these, what is left
over and what stands still. Nothing comes in.
"""

LEFTOVER_BYTES = 24 * 1024 * 1024
"""Of one account: output and answers of programs that have ended, not taken yet. Clients that read keep next to nothing
here; one that does not takes less than half of what an attack may cost."""

LEFTOVER_COST = 4 * 1024
"""What one stream of an ended program costs beside its bytes: the objects of both."""

LINK_SLICE_SECONDS = 0.000_5
"""How long the messages of one link are handled before others get their turn: one read may bring thousands of small
ones, 60 ms of work, and a start passes through some five turns."""

LINK_SLICE_MESSAGES = 8
"""Handled between two looks at the clock, which cost 0.1 us each."""

FLOOD_SLICE_SECONDS = 0.000_2
"""... once a link has brought more than one slice at a time: from then on it waits for its account's floor, and less is
heard of it each time."""

FLOOD_PASSES = 4
"""The event loop goes round so often between two slices of an account that floods: a call passes through some five
turns, so that a flood of any number of links costs it one or two slices."""

HELPERS_END_SECONDS = 1.0
"""A task that sends or waits for one program ends at its next step when that program is over: one turn of the loop."""

SHARE_SECONDS = 0.02
"""A program that lasts longer is told its account's number while several accounts run something: most calls are over
by then. Also between two rounds of telling."""

SHARES_TOLD = 64
"""Programs told in one round: a system call each, some 0.3 ms together."""

CONTEST_SECONDS = 10.0
"""An account whose last program has ended counts as one that runs something for so long: somebody who calls now and
then finds the way free, and what computes for long is not moved to and fro for each call."""

APPETITE_SECONDS = 2.0
"""Over which an account's use of the processors is a mean: calls of half a second are not judged one by one, and a
flood is noticed in its first half second."""

GREEDY_USE = 0.25
"""Of one processor: who uses less is never greedy. A client that calls hello, one after the other as fast as it can,
uses twice that."""

GREEDY_EXCESS = 1.5
"""Times the mean of the others: of two that do the same, neither is greedy."""

START_COST_SECONDS = 0.000_5
"""What host, keeper and spawner spend on a start, besides the program's own (docs/performance.md)."""

ENDED_EACH = 1_024
"""Ends of launched instances of one account that are remembered, as many as it may run; of more than ENDED_INSTANCES in
all, the account that has the most loses its oldest."""

CHANNELS_EACH = 16_384
"""Open channels of one account over all its links: at 1 KiB each, a quarter of what an attack may cost; a program that
everybody in a full room is connected to has 32."""

MODULE_COST = 16 * 1024
"""Bytes that a stored module or a part of one counts at least: its records, its file's block and name, and what the
host remembers of it. So a stranger's 256 MiB are at most 16,384 modules."""

KEYS_SECONDS = 5.0
"""Between two looks whether the keys of open links are still known: 8,192 of them are 40 ms of a core then, and who was
taken out is gone within ten."""

SUBSCRIPTIONS = 64
"""To the events of one principal: each event is written once for each of them."""

STORE_TASKS_EACH = 32
"""Requests to the module store under way, of one account: eight accounts can be stuck in theirs and the others still
get through."""

TRANSFER_SECONDS = 120.0
"""Without a byte, and an upload or download lets others have its place. A lost link is noticed after 40 s."""

UPLOAD_STILL_SECONDS = 3.0
"""Without a byte, and an upload gives way to the same bytes over another connection of its account: so long waits a
client that comes back before its lost link was noticed. While bytes come, others of the account wait for them."""

TRANSFER_PIECE = 256 * 1024
"""Read at once from a file that is downloaded."""

SMALL_DATA = 1_024
"""Data messages below this are joined while they wait: as an object of its own, a message costs 50 bytes and more."""

INPUT_BYTES = 8 * 1024
"""Of a call's input, with its open: a line, a small file. Beside the largest arguments that a client sends with it they
fit into one message, and into half of the smallest window of a stream."""

# Programs that outlive their processes (gatebus.host.lives)

POLICY_SECONDS = (1.0, 30 * 86_400.0)
"""Of a policy's times: below a second the looking costs more than it saves; a month is for ever."""

KEPT_LAST = 100
"""Checkpoints of one instance that stay: four days of one an hour."""

STORED_EACH = 4_096
"""Stored instances of one account: at 4 KiB each, 16 MiB of the host's memory."""

SLEEPERS_BYTES = 4 << 20
"""Messages that wait for all stored programs of one principal together, counted like those of a mailbox: a program is
woken by the first, so they wait for long only where there is no room for it."""

FOLDED_STREAMS = 1024
"""Bytes of streams that are kept in memory with a stored instance that nobody is connected to, when they are not as
they are in the store: five without data. With more of them it stays as it is."""

CLONES = 100
"""Copies that one request makes: their statuses fit one answer."""

STREAM_OWNER = 128
"""Characters of a principal's text in what is kept of a stream."""

IDLE_SWEEP_SECONDS = 1.0
"""Between two looks at who is idle: policies are in seconds."""

CHECKPOINTS_AT_ONCE = 4
"""Policies' own stops and stores under way: a host whose disk is slow does not fall behind for all."""

MEMORY_NEAR = 0.9
"""Of a total of memory: from here on parked programs are stored, so that the next start finds room."""

RECORD_SECONDS = 1.0
"""Until it is written down that an instance runs, or has ended: most of those that end at once are never written, and
many are written together."""

REWRITE_SECONDS = 5.0
"""Until an end that could not be written down is tried again: a disk that is full stays so for a while."""

RECOVERED_AT_ONCE = 8
"""Instances that a host stores at its stop, or wakes at its start, at the same time: as many as disks like."""

FRAMES_TOLD = 64
"""Frames of one snapshot that `show` tells, the innermost first: with their values they fit one answer."""

RANGES_TOLD = 256
"""Places in which two snapshots differ that `diff` tells."""

IMPORT_BYTES = 256 * 1024**2
"""Of a file with a snapshot: two minutes of a line of 2 MiB/s."""

SERVICE_PART = 128 * 1024
"""Of what one service of ours keeps of a program: the longest is a scope of 255 texts, 66 KiB; then the connections of
`peer`, 17 KiB. Unanswered calls are 1 KiB of each."""

OWN_SERVICE_PART = 4 << 20
"""Of what a service of an embedder keeps of a program."""

SERVICES_PART = 16 << 20
"""Of all services of one program together: what a state file has room for (sandbox.limits.STATE_SERVICES_MAX)."""

ROUTE_PART = 2 * 1024
"""What is kept of a service that is not there: the tickets of 256 calls."""

UNSENT_PART = 40 << 20
"""Packets that a stopped program had not read: a window of each of its 32 connections (STREAM_WINDOW_MOST) and of its
32 peers, its mailbox and the queue towards it (35 MiB), and the heads of these packets."""

HELD_FREE = 1 << 20
"""So much of what is read of a snapshot is not counted: a process has twice that of its own, which is not, either."""

LOADED_AT_ONCE = 16 << 20
"""From this size on one snapshot of an account is read at a time: each takes a thread for seconds, and there are 40."""

CARRIED_AT_ONCE, CARRIED_EACH = 8, 2
"""Such files on their way in or out, of all and of each account: each has at most 32 files open, a piece of 1 MiB, its
program, and the names of its chunks."""

SPOOLED_PIECE = 16 << 20
"""Bytes of such a file that are written before they are counted: where the rest has no room, no more than that was."""

CARRIED_SECONDS = 30.0
"""Without a byte, and such a file lets go of what it holds, also where nobody waits."""

CARRIED_RATE = 64 * 1024
"""Bytes a second. Where all places are taken, who is slower gives way to an account that has none: 256 MiB would take
more than an hour."""

CARRIED_GRACE = 10.0
"""Seconds in which nobody has to give way: by then it is known how fast a line is."""

CARRIED_WAIT, CARRIED_LOOK = 20.0, 1.0
"""Seconds for a place: the grace of whoever has just taken the last one, and some more. Looked after so often."""

WARM_SECONDS = 60.0
"""A program that is warmed wants input by then: an interpreter's start-up with a large library."""

WARM_OUTPUT = 32 * 1024
"""Bytes that it may write before: a greeting and a prompt. Kept with what describes the snapshot, which has 64 KiB."""

WARMED = 64
"""Warm programs whose memory is at hand; others are fetched from the store for the call after next."""

PREPARED_EACH = 8
"""Stored programs of one account for which the compiler works ahead: one at a time, and the others wait with their
frames, some kilobytes each."""

PREPARED_BYTES = 1 << 20
"""Of frames of such a program: deep recursion has megabytes, 64 at most. The host works ahead for one such program at a
time; what goes on from others is made when it is wanted."""

READY_COPIES = 2
"""Copies of a warm program that wait for calls: one for the next call, and one for the call that comes while that one
runs. A waiting copy of a JavaScript interpreter takes 2 MiB."""

READY_EACH = 8
"""... of all warm programs of one account."""

READY_HOST = 64
"""... of all accounts: what a host spends on calls that may never come."""

READY_SECONDS = 60.0
"""A copy that nobody has wanted for so long ends."""

READY_REFILL_SECONDS = 0.05
"""After a call has taken one, the next one is made when that call has ended, or so much later: not beside the work of a
short call, which would wait for a processor."""

READY_REST_SECONDS = 0.002
"""... and so much later still: whoever has just got the answer handles it on the same processors."""

READY_RUN_SECONDS = 0.25
"""A copy runs for so long before it is stopped to wait: to its read it takes 4 ms, on a busy machine some times that.
One that was not there yet goes the rest of the way in its call."""

LINK_MESSAGE_SECONDS = 120.0
"""From the first byte of a message to its last, while we wait for it: 64 KiB at half a kilobyte a second, slower than
any network that carries a websocket. A byte a second would be a sign of life for 18 hours otherwise."""

ANSWER_VALUES = 8_000
"""Of the lines of one answer: a message holds 8,192 (CBOR_ITEMS_IN_ALL). Those of 160 live instances have so many."""
