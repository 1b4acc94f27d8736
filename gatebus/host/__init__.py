"""One gatebus host: who may, what runs, what is kept; assembled in `Host`.

    async with Host(HostConfig(...)) as host:
        result = await host.run(wasm, args=("a",), files={"in.txt": b"..."}, stdin=b"...")      # without a network
        await host.serve()                                                                   # until stopped

Which module has what:
    words   principals (Principal: anonymous | local | key), authorizedkeys (OpenSSH files), hostconfig (frozen values),
            hostsettings (the table of what can be set), configreader (TOML, environment, flags -> HostConfig),
            configtext (and back), policy (operation x principal -> allowed; owner checks), quotas (totals per host
            and account), refusals (what is said no to), moduledata (records, seals, what expires), statuses
    wires   modulestore (modules by sha256, uploads, pins), under it moduleupload, modulefiles, modulerecords,
            recordbook and storedisk; identityfile (private keys), keyring (authorized_keys), log (the only way to
            log), instances (one running program: its exchange, its streams, its end), busstreams (one stream: origin's
            Client <-> a channel; survives its link), operations (table: name -> handler), attendant (drives one
            session over one link)
    assembly  Host (here: server), serving (its sockets), gatebus/cli/serve_command

The data path (gatebus.turn, gatebus.lookout): a host has one Turn. Each `Exchange(program, board, turn, lookout.pulse)`
has it, an attendant handles a batch of messages inside of `with turn:`, and whoever writes to a link says
`turn.at_end(link.flush)` instead of flushing: so each receiver gets one send per batch. Clients of origin (busstreams)
get `bytes | memoryview`: small packets of one batch joined, large ones as views that go to `link.write` as they are.
Peers (gatebus.peers): a host has one Neighbourhood; each World gets `neighbourhood.admit(principal, instance)`.
"""
