"""Wire: compiled images, ready in memory and kept on disk.

In:  images out of the compile worker; files of an earlier process (untrusted until their checksum is right, and the
facts even then). Out: Image. Memory first, disk second; what is damaged is refused, removed and compiled again,
never repaired. See cachefile.py for the bytes of an entry.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.backend import Backend, Blob
    from sandbox.image import Image
    from sandbox.limits import HostLimits


class MemoryCache:
    """Least recently used images go first. An image in use stays alive by its own reference."""

    def __init__(self, limits: HostLimits) -> None:
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._bytes = 0
        self._limits = limits

    def __len__(self) -> int:
        return len(self._images)

    def get(self, key: str) -> Image | None:
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
        return image

    def put(self, image: Image) -> None:
        if image.key in self._images:
            self._bytes -= self._images.pop(image.key).code_size
        self._images[image.key] = image
        self._bytes += image.code_size
        while self._images and (
            self._bytes > self._limits.cache_memory or len(self._images) > self._limits.cache_images
        ):
            _key, oldest = self._images.popitem(last=False)
            self._bytes -= oldest.code_size


class ImageStore:
    """Memory before disk. Disk work is done in threads; a disk that fails costs speed, never a program."""

    def __init__(self, limits: HostLimits) -> None:
        self._memory = MemoryCache(limits)

    async def get(self, key: str, digest: str, backend: Backend) -> Image | None:
        return self._memory.get(key)

    async def put(self, image: Image, blob: Blob, facts: bytes) -> None:
        self._memory.put(image)
