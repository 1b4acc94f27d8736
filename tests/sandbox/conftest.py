"""The same tests over both back-ends, and programs that other languages' tools build."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from required import require

import sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox.box import BackendName


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


# As tests/guests/wasi_depths.c: deep in calls, and in the middle of a sleep; and one that computes, deep in calls.
GO_DEPTHS = """
package main

import ("fmt"; "os"; "time")

func down(level int, sum uint32, above *[2]int) uint32 {
	own := [2]int{level, above[0]}
	fmt.Println("down", level)
	below := sum
	if level > 0 { below = down(level - 1, sum * 31 + uint32(level), &own) }
	if own != [2]int{level, above[0]} { panic("a frame of somebody else") }
	fmt.Println("up", level, below)
	return below * 17 + uint32(level)
}

// Says nothing on the way, so that nothing takes it off the engine's stack, and computes at the bottom.
func dig(level int, sum, rounds uint32) uint32 {
	if level > 0 { return dig(level - 1, sum * 31 + uint32(level), rounds) * 17 + sum }
	fmt.Println("bottom")
	for n := uint32(0); n < rounds; n++ { sum = sum * 31 + n }
	return sum
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "dig" {
		fmt.Println(dig(300, 1, 1)) // Go's stack grows, which takes it off the engine's
		fmt.Println(dig(300, 2, 500_000_000))
		os.Exit(5)
	}
	if len(os.Args) > 2 {
		fmt.Println(down(300, 1, &[2]int{}))
		os.Exit(5)
	}
	for number := 0; number < 3; number++ {
		fmt.Println("sleep", number)
		began := time.Now()
		time.Sleep(200 * time.Millisecond)
		fmt.Println("slept", time.Since(began) >= 180 * time.Millisecond)
	}
	os.Exit(5)
}
"""


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built_by_go(tmp_path_factory.mktemp("go"), GO_PROGRAM)


@pytest.fixture(scope="session")
def go_depths(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built_by_go(tmp_path_factory.mktemp("go"), GO_DEPTHS)


def built_by_go(folder: Path, source: str) -> bytes:
    require(shutil.which("go"), "go is not installed: https://go.dev/dl/")
    (folder / "main.go").write_text(source)
    environment = os.environ | {"GOOS": "wasip1", "GOARCH": "wasm", "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-o", "main.wasm", "main.go"], cwd=folder, env=environment, check=True)
    return (folder / "main.wasm").read_bytes()
