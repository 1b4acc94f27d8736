"""Snapshots of programs on disk: what they are (FORMAT.md), where they are kept, how they leave and come back.

Where it stands: below the operations suspend, snapshot, restore, keep, export and import. It knows nothing of the bus
and never starts a program. What it is given by a host is saved; what it reads is untrusted until a digest says so.
"""
