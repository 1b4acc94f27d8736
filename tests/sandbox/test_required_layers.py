"""What this machine must have, as `.ci/run` says it in GATEBUS_REQUIRE_LAYERS:

a layer that is off is a failure there.
"""

from __future__ import annotations

import os

import pytest

import sandbox
from sandbox import Settings
from sandbox.layerprobe import probe_layers
from sandbox.layers import LAYER_NAMES, REQUIRED

NAMESPACES = {"user", "pid", "mount", "network", "ipc", "uts", "cgroup-namespace"}
CGROUPS = {"cgroup-memory", "cgroup-pids", "cgroup-cpu"}
MEANING = {"namespaces": NAMESPACES, "cgroup-v1": CGROUPS, "cgroup-v2": CGROUPS}


def required() -> list[str]:
    return [name for name in os.environ.get("GATEBUS_REQUIRE_LAYERS", "").split(",") if name]


@pytest.fixture
async def layers() -> sandbox.Layers:
    try:
        async with sandbox.open_sandbox("native", Settings(cache_directory="")) as box:
            return box.layers
    except sandbox.BackendUnavailable as missing:
        if required():
            raise
        pytest.skip(f"native: {missing.text}")


async def test_every_layer_that_this_machine_must_have_is_on(layers: sandbox.Layers) -> None:
    for name in (*required(), *REQUIRED):
        assert MEANING.get(name, {name}) <= set(layers.on), f"{name} is off: {layers.missing}"
        if name.startswith("cgroup-v"):
            assert layers.cgroups == name.removeprefix("cgroup-")


async def test_the_probe_finds_the_layers_that_programs_get(layers: sandbox.Layers) -> None:
    probed = await probe_layers()
    assert probed.on == layers.on
    assert [each.name for each in probed.missing] == [each.name for each in layers.missing]


@pytest.mark.parametrize("name", ["seccomp", "landlock", "rlimits", "tsc"])
async def test_a_layer_that_is_switched_off_is_off_and_programs_run(layers: sandbox.Layers, name: str) -> None:
    settings = Settings(cache_directory="", without=(name,))
    async with sandbox.open_sandbox("native", settings) as box:
        assert set(box.layers.on) == set(layers.on) - {name}
        image = await box.compile(b'(module (func (export "_start")))')
        async with box.start(image) as program:
            assert (await program.wait()).ok
    assert set(layers.on) <= set(LAYER_NAMES)
