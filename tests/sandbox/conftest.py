"""The same tests over both back-ends.

A native back-end that is missing is a skip with its reason on a developer's machine, and a failure where
GATEBUS_REQUIRE_LAYERS says that this class of machine has it (.ci/run).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio
from required import require

import sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox.box import BackendName


@pytest.fixture(scope="session")
def image_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session: each program compiles once for each back-end."""
    directory = tmp_path_factory.mktemp("images")
    directory.chmod(0o700)
    return directory


@pytest.fixture(scope="session")
def native() -> None:
    """For tests of the native back-end alone; outside of trio, so that the reason of a skip is shown."""

    async def opens() -> None:
        async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory="")):
            pass

    try:
        trio.run(opens)
    except sandbox.BackendUnavailable as missing:
        if os.environ.get("GATEBUS_REQUIRE_LAYERS"):
            raise
        pytest.skip(f"native: {missing.text}")


@pytest.fixture(params=["native", "portable"])
def backend(request: pytest.FixtureRequest) -> BackendName:
    name: BackendName = request.param
    return name


@pytest.fixture
async def box(backend: BackendName, image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    opened = False
    try:
        async with sandbox.open_sandbox(backend, settings) as made:
            opened = True
            yield made
    except sandbox.BackendUnavailable as missing:
        if opened or os.environ.get("GATEBUS_REQUIRE_LAYERS"):
            raise
        pytest.skip(f"{backend}: {missing.text}")


GO_PROGRAM = """
package main

import ("bufio"; "fmt"; "os"; "sort"; "time")

func main() {
	start := time.Now()
	done := make(chan int)
	go func() { time.Sleep(20 * time.Millisecond); done <- 42 }()
	fmt.Println("from a goroutine:", <-done, time.Since(start) >= 10*time.Millisecond)
	if err := os.WriteFile("/out.txt", []byte("left by Go\\n"), 0o644); err != nil { panic(err) }
	words := []string{}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); { words = append(words, in.Text()) }
	sort.Strings(words)
	fmt.Println(words, os.Args[1:], os.Getenv("NAME"))
	if _, err := os.ReadFile("/etc/passwd"); err == nil { panic("a password file") }
	os.Exit(3)
}
"""


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    require(shutil.which("go"), "go is not installed: https://go.dev/dl/")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO_PROGRAM)
    environment = os.environ | {"GOOS": "wasip1", "GOARCH": "wasm", "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-o", "main.wasm", "main.go"], cwd=folder, env=environment, check=True)
    return (folder / "main.wasm").read_bytes()
