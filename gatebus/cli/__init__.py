"""The command line: programs here (`run`, `ipfs`, `doctor`), one's own host (`serve`, `key`), and all else at a host.

    words      options, ipfs_options, serve_options, bus_options (argv), interpreters (which module runs a file),
               hostbook (which hosts one knows), wording and bus_wording (lines, tables, JSON, exit codes)
    wires      terminal (descriptors), surroundings (files that are read before a run), busprogram (what is sent),
               hostfile, hostbookfile (configuration)
    assembly   groundwork, running, doctor_command, ipfs_command, serve_command, key_command; connecting_host,
               bus_running (call, io), bus_commands (what is asked and answered), login_command

Nothing is imported here: `gatebus --help` must not pay for an event loop.
"""
