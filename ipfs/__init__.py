"""Programs by content: IPFS without a daemon.

    words      caps (limits), troubles (errors), uvarint, cid, dagpb (codecs of blocks), importer (bytes -> blocks),
               hamt (large directories), reader (blocks -> names and bytes), addresses (ipfs://..., which hosts), car,
               offer (what a gateway is asked for), carorder (which blocks that is), symlinks (where they lead)
    wires      blockstore, secondhand (its second thread), pins, shelf (what of it is pinned), carwriter, gateway
               (trustless gateways), node (Kubo's RPC), threadnode (the same by ipfshttpclient)
    assembly   fetching (store and sources, raced), content (cat, ls, stat), adding (files into the store),
               saving (content into files), publishing (to a node)

On the path of a program this stands before admission: a CID comes in, verified bytes go out. Every source is
untrusted, the disk too: a block is hashed when it arrives and whenever it is read. Nothing is imported here: whoever
runs a local file must not pay for an HTTP client.
"""
