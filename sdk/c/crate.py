"""Print the path of a crate file that cargo has just fetched: `crate.py METADATA NAME`.

METADATA is the output of `cargo metadata`. cargo unpacks `registry/cache/INDEX/NAME-VERSION.crate` to
`registry/src/INDEX/NAME-VERSION/`; the file is what has a hash.
"""

import json
import sys
from pathlib import Path


def crate_file(metadata: Path, name: str) -> Path:
    """The packed file beside the unpacked folder that the metadata names."""
    packages = json.loads(metadata.read_text())["packages"]
    folder = next(Path(package["manifest_path"]).parent for package in packages if package["name"] == name)
    return folder.parents[2] / "cache" / folder.parent.name / f"{folder.name}.crate"


if __name__ == "__main__":
    print(crate_file(Path(sys.argv[1]), sys.argv[2]))
