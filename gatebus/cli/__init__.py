"""The command line: `gatebus run`, `gatebus ipfs` and `gatebus doctor`.

    words      options and ipfs_options (argv), interpreters (which module runs a file), wording (lines, tables, JSON,
               exit codes)
    wires      terminal (descriptors), surroundings (files that are read before a run)
    assembly   groundwork, running, doctor_command, ipfs_command

Nothing is imported here: `gatebus --help` must not pay for an event loop.
"""
