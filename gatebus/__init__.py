"""gatebus: send programs instead of messages.

General layout (words are pure, wires do I/O, assembly puts objects together):

    words      bounds faults flow discovery switchboard services/* runfile
    wires      exchange terminal
    assembly   cli/* demo, and checks for tests

Importing any of it does nothing. The package sandbox runs the programs and never imports this one.
"""
