"""Wire: what a compiled image depends on: engine, its version, processor, and our own way of admitting and compiling.

Does not load the engine: that costs the parent a tenth of a second and some 30 MB, for nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from pathlib import Path

# Built from native/module by native/build.py, also where the native back-end cannot be.
TRANSFORMER = Path(__file__).resolve().parents[1] / "bin" / "gatebus-transform"
FEATURE_LINES = ("flags", "Features")  # of x86-64 and arm64


def engine_fingerprint() -> str:
    """An image may be used only where this is the same."""
    version = importlib.metadata.version("wasmtime")
    return f"wasmtime-py {version} {platform.system()} {platform.machine()} {_processor()} {_own_code()}"


def _own_code() -> str:
    """Of all of this folder and of what rewrites modules: whatever changed, the same module might be admitted or
    compiled differently.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    if TRANSFORMER.is_file():
        digest.update(hashlib.sha256(TRANSFORMER.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """The processor's features as far as the system says them; the engine checks them again when it loads an image."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    features = next((line for line in lines if line.startswith(FEATURE_LINES)), "")
    return hashlib.sha256(features.encode()).hexdigest()[:16]
