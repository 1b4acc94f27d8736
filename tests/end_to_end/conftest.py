"""Fixtures of the commands' tests."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def open_input() -> Iterator[int]:
    """Nobody writes, and it does not end."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)
