"""Runs the demo inside an image, and says as JSON what that did to the image's own files.

`make smoke-image` starts this in a container; it needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

DEMO = ("run.py", "--model", "demo", "--dataset", "sample", "--total-sample-count", "8")
# Where a run may write; the rest of these belongs to the container, not to the image.
NOT_OF_THE_IMAGE = ("/app/results", "/cache", "/tmp", "/proc", "/sys", "/dev", "/run", "/var/tmp")
# The engines of containers write these three at the start.
OF_THE_CONTAINER = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def main() -> int:
    before = snapshot(Path("/"))
    done = subprocess.run([sys.executable, *DEMO], stdin=subprocess.DEVNULL, check=False)
    after = snapshot(Path("/"))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    said = {"exit_status": done.returncode, "uid": os.getuid(), "changed": sorted(changed)}
    print(json.dumps(said), flush=True)
    return 0


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below `root` that belongs to the image."""
    files = {}
    for folder, names, file_names in os.walk(root):
        names[:] = [
            name for name in names if f"{folder.rstrip('/')}/{name}" not in NOT_OF_THE_IMAGE
        ]
        for name in file_names:
            path = Path(folder, name)
            if str(path) not in OF_THE_CONTAINER:
                about = path.lstat()
                files[str(path)] = (about.st_size, about.st_mtime_ns)
    return files


if __name__ == "__main__":
    sys.exit(main())
