"""The portable back-end: one ordinary child process per program, with the PyPI package `wasmtime` as the engine.

For macOS and Linux machines without namespaces (on Windows: WSL; the packet socket is a POSIX one). Never chosen
silently: it has a process boundary and what limits the operating system offers, not a container (portable_layers.py
says it in words).

    portable_parent    parent, wire: the back-end; compile jobs and programs as child processes
    compiler           child: admission and compilation of one module
    child              child: one program; its engine, its personality, its packet socket

What a guest sees is the same as in the native back-end: the words in this folder (wasi_*, gate_*, memory_files,
origin_stream) mirror the Rust crates `gatebus-files` and `gatebus-abi`, and the same tests run over both.
"""
