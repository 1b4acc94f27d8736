"""Every bound of the package gatebus, with its reason; words, no I/O.

Where it stands: beside all of one program's conversations with its services (switchboard, services, exchange).
Nothing comes in. The bounds of the sandbox itself (memory, time, files ...) are in sandbox.limits; those a person
sets for one run come from there.
"""

MAX_SERVICES = 256
"""Discovered services of one program: Gate's number (an answer with all their states stays a small packet)."""

MAX_NAME = 127
"""Bytes of a service's name in a discovery request: Gate's number."""

MAX_UNANSWERED = 256
"""Unanswered calls per service: the position of the answered call travels in one byte of the packet header."""

MAX_CREDIT = 2**31 - 1
"""Credit per stream and direction: values travel as i32."""

OUTBOX_BYTES = 256 * 1024
"""Bytes waiting for one program that does not read: some full packets. Above it the program's own output waits too."""

SLICE_SECONDS = 0.002
"""How long the packets of one program are handled before everybody else gets a turn: a batch of broadcasts to hundreds
costs tens of milliseconds."""

ORIGIN_STREAMS = 32
"""Open connections of one program (`maxconns`), people in a room: with ORIGIN_WINDOW each, slow clients hold at most
2 MiB of it."""

ORIGIN_WAITING = 64
"""Connections that wait for a program to accept them; the next one is turned away at once."""

ORIGIN_WINDOW = 64 * 1024
"""Bytes a program may have on the way to one client: a full packet, so that it need not wait for each small one."""

STOP_OUTPUT_SECONDS = 2.0
"""A program of `gatebus run` has stopped, and its reader takes nothing for so long: what is left goes into its state.
Whoever reads at all, however slowly, takes 4 KiB within that."""

TERMINAL_WINDOW = 16 * 65_520
"""The same for the one connection of `gatebus run`: sixteen full data packets of 65,520 bytes, about 1 MiB, so that
writing and computing overlap."""

VIEW_BYTES = 4096
"""Data of this size is passed on as a view of what was received; below it a copy costs less than the view."""

VIEW_SHARE = 4
"""A view is taken only of a packet that is at least a fourth of its batch (four full packets are one): so what somebody
keeps holds at most four times its bytes."""

PEER_STREAMS = 32
"""Connections of one program to its peers, open or asked for: with PEER_WINDOW each, a program that does not read makes
its host keep at most 2 MiB."""

PEER_WINDOW = 64 * 1024
"""Bytes a program may have on the way to a peer, however much credit that one gave: they wait in the host when the peer
does not read."""

PEER_MEMBERS = 1024
"""Programs of one principal in its index: their names of 37 bytes fit one packet."""

GROUPS = 256
"""Groups of one principal on one host."""

GROUPS_JOINED = 8
"""Groups that one program is in: what it has to be told of their members stays below 1 MiB when it does not read."""

GROUP_MEMBERS = 900
"""Members of one group: a list of them with names of 63 bytes fits one packet."""

GROUP_NAME = 63
"""Bytes of the name of a group or of a member."""

GROUP_MESSAGE = 8 * 1024
"""Bytes of one message to a group: what is longer is a stream's."""

MAILBOX_BYTES = 256 * 1024
"""Messages that wait for one program which does not read, LETTER_COST each beside their bytes; more are dropped and
counted. As much as OUTBOX_BYTES, so that a burst of one full batch is not lost."""

LETTER_COST = 128
"""What keeping one message costs beside its bytes: the objects around it."""

RANDOM_BITS_PER_MINUTE = 7680
"""Allowance of the service `random`: 16 bytes per second, Gate's default."""

CATALOG_BYTES = 60_000
"""Text of one answer of the catalog; a packet holds 65,528. The rest is left out and the answer says so."""

# Totals of one host (gatebus/host/quotas.py); the configuration sets others: [quotas.host] and so on.

HOST_INSTANCES = 4_096
"""Instances of one host at once: what one host was measured to hold; a quarter of the sandbox's own bound."""

HOST_MEMORY = 64 * 1024**3
"""Sum of the memory limits. Guests rarely touch what they may, so it is more than the machine has; the kernel's group
limits are behind it."""

HOST_STORED = 4 * 1024**3
"""Bytes of modules on disk: thousands of them; a laptop does not notice it."""

HOST_UPLOADS = 64
"""Uploads at once: each holds a file and one message."""

HOST_CONNECTIONS = 8_192
"""Two for each instance; each costs a descriptor and about 20 KiB."""

PRINCIPAL_INSTANCES = 1_024
"""Of one key or local user: a quarter of the host, so that three others always find room."""

PRINCIPAL_MEMORY = 16 * 1024**3
"""A quarter of the host."""

PRINCIPAL_STORED = 1024**3
"""A quarter of the host."""

PRINCIPAL_UPLOADS = 8
"""More at once are not faster over one connection."""

PRINCIPAL_CONNECTIONS = 1_024
"""As many as instances."""

STRANGERS_INSTANCES = 64
"""Of all connections without a key together: they may try, not live here."""

STRANGERS_MEMORY = 4 * 1024**3
"""64 instances of the default 64 MiB."""

STRANGERS_STORED = 256 * 1024**2
"""Some interpreters of 10 MB and many small programs; what is not pinned expires, and strangers cannot pin."""

STRANGERS_UPLOADS = 8
"""So that half-finished uploads of strangers are at most an eighth of all."""

STRANGERS_CONNECTIONS = 1_024
"""An eighth of the host; a room full of browser tabs."""

AUTHORIZED_KEYS_BYTES = 1024**2
"""Of the file that says whom a host knows: ten thousand lines."""

AUTHORIZED_KEYS_LINES = 10_000
"""More people than that need a directory service, not a file."""

AUTHORIZED_KEYS_LINE = 8_192
"""OpenSSH's own bound."""

KEY_COMMENT = 100
"""Characters of a key's comment that are shown: an address of mail and a machine."""

CONFIG_BYTES = 256 * 1024
"""A configuration that a person writes; more is the wrong file."""

CONFIG_DOTS = CONFIG_NESTED = 100
"""In one of its lines: Python's reader takes the square of each key's dots in memory. Long lists have several lines."""

STOP_SECONDS = 10.0
"""A host that is asked to stop lets programs go on so long: what service managers wait before they kill, less a bit."""

LINGER_SECONDS = 60.0
"""A stream waits so long for its client: a laptop that changes its network, a page that is loaded again."""

LAUNCHED_SECONDS = 86_400.0
"""How a launched instance ended is remembered for a day, so that whoever started it in the evening learns it."""

TAGS = 32
"""Tags of one module: each is shown in a list."""

TAG_CHARACTERS = 64
"""Of one tag: a name and a version."""

MODULES_LISTED = 1_000
"""Lines of one answer of `modules`: less than a message holds in items; the next ones are asked for by the last one."""

UNPINNED_SECONDS = 7 * 86_400.0
"""A module that nobody pinned is forgotten a week after its last use."""

TIDY_SECONDS = 600.0
"""Between two looks for modules that expired: they have days, so minutes do not matter."""

CLOSE_SECONDS = 10.0
"""For a disk to take what an end still has to write; longer than this it hangs, and the end goes on without it."""

PARTIAL_SECONDS = 86_400.0
"""An upload that was broken off can be resumed for a day; until then its bytes count as stored."""

PROBLEM_TEXT = 200
"""Characters of a public error text: one line on a terminal that wraps once."""

# The wires of the bus (gatebus.web)

LINK_SCRATCH_BYTES = 256 * 1024
"""One read from a socket: about four full messages. All links of a server share one such buffer."""

LINK_CORK_BYTES = 256 * 1024
"""Written messages are sent together up to here: what one read of a program brings at most."""

LINK_UNCOPIED_BYTES = 16 * 1024
"""A part of a message from here on goes to the kernel without a copy; below, joining is cheaper than sendmsg."""

LINK_HIGH_WATER = 1024 * 1024
"""Bytes that may wait for a slow peer before `room()` waits: some full windows, so that a fast peer never idles."""

LINK_OUTBOX_BYTES = 16 * 1024 * 1024
"""Bytes that may wait at all, for writers that do not ask for room. Above, the link is cut: 64 MiB of growth per attack
is four such links."""

LINK_STALL_SECONDS = 30.0
"""A peer that takes nothing for so long while something waits is gone, or does not want it."""

LINK_CLOSE_SECONDS = 5.0
"""For a closing handshake and what still waits: some round trips of a slow mobile network."""

LINK_PING_SECONDS = 20.0
"""A silent link is pinged: below the 30 s after which the shortest NAT tables in use forget a connection."""

LINK_SILENCE_SECONDS = 40.0
"""A link that is silent for so long after a ping went out is gone."""

LINK_BATCH_FRAMES = 256
"""Frames that are read before others get their turn: with what a session does for each, some milliseconds at most."""

LINK_FAIR_OPERATIONS = 32
"""Reads or writes that found no reason to wait, before others get their turn: costs nothing measurable, and a polite
connection beside four that flood answers in 0.3 ms."""

LINK_CONTROL_FRAMES = 8
"""Control frames and fragments, which the library takes apart (20 us each, with the answer to a ping), before others
get their turn. Nobody honest sends that many in a row."""

LINK_CONTROL_PASSES = 4
"""The event loop goes round so often between two such portions, of all links of a server together: a flood of pings
over any number of links costs a call one or two of them."""

OPENING_PASSES = 3
"""The event loop goes round so often between two pieces of work for connections that are being opened (a head is 0.1
ms, a step of TLS up to 1): a call passes through some five turns, so a flood of connections costs it two of them."""

LINK_FLOOD_READ = 4 * 1024
"""One read of a link that had a portion of control frames: what is left of a read is copied for each portion."""

# The bus (gatebus.protocol, gatebus.client, gatebus.host)

DATA_BYTES = 65_536
"""Payload of one data message: a browser sends up to 64 KiB as one websocket frame, and a packet of a program fits."""

MESSAGE_BYTES = DATA_BYTES + 64
"""One message: the payload and the longest head there is (kind, channel and length: 12 bytes) with room to spare."""

CBOR_DEPTH = 8
"""Nested maps and arrays, the message's own array included: the deepest operation (files of a call) needs 5."""

CBOR_ITEMS = 1_024
"""Items of one map or array: 1,024 arguments, files or listed modules."""

CBOR_ITEMS_IN_ALL = 8_192
"""Values of one message in all: reading each takes about 1 us, so no message holds the loop longer than some 10 ms."""

CHANNEL_MAX = 2**32 - 1
"""Numbers of channels only grow: at 2,000 opens a second one link lasts 24 days."""

CHANNELS_OPEN = 4_096
"""Channels open at once on one link. Each costs the host about 1 KiB beside what its operation costs."""

COUNT_MAX = 2**53 - 1
"""Bytes of a stream and other counts: what a browser's numbers hold exactly."""

WINDOW_MAX = 2**31 - 1
"""A window that somebody asks for. What is really sent ahead is bounded by RETAINED_BYTES."""

RETAINED_BYTES = 1024 * 1024
"""Bytes of one direction of a stream that its sender keeps, sent or not, until they are taken: at 1 GB/s over a link
with 1 ms there and back, what is under way."""

STREAM_WINDOW = 256 * 1024
"""What a receiver lets be under way, unless it asks for another window: four full data messages."""

ERROR_TEXT = 400
"""Characters of an error's text on the bus: some lines of a terminal."""

NAME_TEXT = 64
"""Characters of an operation's, feature's, limit's or error's name."""

AGENT_TEXT = 128
"""Characters of the name of a program and its version, or of a principal."""

VERSIONS = 16
"""Versions that a client may say it knows."""

FEATURES = 64
"""Features that one side may name."""

HELLO_SECONDS = 10.0
"""Until the hello, and as long again until the signature: a slow line needs 1 s; strangers hold a place so long."""

QUIET_SECONDS = 20.0
"""A link that says nothing is asked; below the 30 s after which common address translators forget a connection."""

SILENT_SECONDS = 40.0
"""... and ended when it still says nothing: two questions may get lost."""

# Connections and plain HTTP (gatebus.web)

DIAL_SECONDS = 15.0
"""For connecting, TLS and the opening handshake together: several lost first packets (1 + 2 + 4 s)."""

HTTP_HEAD_BYTES = 64 * 1024
"""Of a request's head: browsers and servers agree on 8 to 64 KiB."""

HTTP_HEAD_SECONDS = 10.0
"""For the handshake of TLS and the first head of a connection together."""

HTTP_IDLE_SECONDS = 30.0
"""Until the next request on a connection that is kept alive."""

HTTP_ANSWER_SECONDS = 30.0
"""For a page to be taken: a megabyte over a slow mobile network."""

HTTP_BODY_BYTES = 64 * 1024
"""No page takes a body; one up to here is read and dropped so that the answer arrives, a larger one is refused."""

HTTP_REQUESTS = 1_000
"""Requests on one connection; then it is closed, so that nobody holds one for ever."""

HALF_OPEN_CONNECTIONS = 512
"""Connections that have not become links. The oldest goes when a new one comes, so that those who talk get through."""

CONNECTIONS = 8_192
"""Of one host. Each link costs about 10 KiB and a descriptor."""

CONNECTIONS_PER_ADDRESS = 512
"""From one outside address (IPv6: one /64), so that no single one takes all; not for this machine's own programs."""

ACCEPT_BACKLOG = 1_024
"""Connections the kernel holds until we take them."""

# The host's instances and streams (gatebus.host)

STREAM_SHARE = 8 * 1024 * 1024
"""Divided by the connections that an account's programs may have, this is the window of one more stream: so slow
readers hold together 8 MiB * (1 + log of their number), 47 MiB are 128, 58 are 512, and from there on
STREAM_WINDOW_LEAST each. It holds whatever the quotas are."""

STREAM_WINDOW_MOST = 1024 * 1024
"""Of one stream of an account that has few: what keeps 700 MB/s going over a link with 1 ms there and back."""

STREAM_WINDOW_LEAST = 16 * 1024
"""Below that each packet of a busy program would wait for its client."""

ANSWERED_STREAMS = 1_024
"""Streams of one link whose answer went out and may be lost with the link: half a second of the fastest client's."""

ENDED_INSTANCES = 4_096
"""Launched instances whose end is remembered, as many as may run; about 5 KiB each (5 MiB of one account)."""

LISTED_INSTANCES = 1_000
"""Lines of one answer of `list` at most; the next ones are asked for by the last one's id."""

ANSWER_BYTES = 60_000
"""Of the lines of one answer: a message holds 65,600."""

EVENTS_REMEMBERED = 1_024
"""For a subscriber that lost its link: about 300 KiB."""

STORE_TASKS = 256
"""Requests to the module store under way, for all clients: each is a task and at most a window of bytes."""

LOG_WATER = 256 * 1024
"""Bytes that wait for a slow link; above it the logs of its programs are dropped and counted: they have no credit."""

SOURCE_TEXT = 2_048
"""Characters of a module's source: the longest address that browsers agree on."""

SWEEP_SECONDS = 1.0
"""Between two looks at links and streams that are late; deadlines are that much coarser."""

FILES_INLINE = 32 * 1024
"""Of the files that a program left, in the result itself, paths included; larger ones are
downloaded. Half a message."""

FILES_ANSWERED = 256
"""Files that a result names: each line that is no content takes about 60 bytes."""

SOURCES_KNOWN = 1_024
"""Addresses whose module's hash is remembered."""

COLLECTED_BYTES = 64 * 1024 * 1024
"""Of the output of a program that an embedder runs, and as much of its log; more is cut, and the result says so."""

FAREWELL_SECONDS = 5.0
"""After that what is left of a stopping host's programs and links ends without being waited for."""

GC_THRESHOLD = 50_000
"""New objects between two looks of the collector (default 700: 8 %); at old ones after 100 times as many: no cycles."""

FREED_KEPT = 16 * 1024 * 1024
"""Freed bytes that the C library may keep instead of giving them back: sixteen full windows of streams."""

LARGE_PIECE = 1024 * 1024
"""From here on a piece of memory is a mapping of its own, which is given back at once: above what one read brings."""
