"""What a host serves to browsers: the library gatebus.js, its types, and the page; files and the one who reads them.

Where it stands: outside of the path of a program; a browser is a client like any other (gatebus.protocol). Nothing
comes in. The files go out as they are: no build step, so that what a person reads is what runs. `protocol.js` and
`streams.js` are words, `gatebus.js` is the wire, `page.js` puts them together.
"""
