"""Packs run folders of benchmarks/official_length.py into official-length.tar.xz beside this file.

    python tests/data/pack_official_length.py /tmp/official /tmp/official61

LoadGen's files go in byte for byte. Of config.json, what belongs to the machine that ran is
replaced: paths, and the system with all but its versions. Left out are plots, reports, run.log, the
times of single samples, and for their size the accuracy logs: tests/builders.py has real LoadGen
write those anew, in seconds.
"""

from __future__ import annotations

import io
import json
import lzma
import sys
import tarfile
from pathlib import Path
from typing import Any

PACKED = Path(__file__).with_name("official-length.tar.xz")
KEPT = ("Accuracy", "Performance", "Compliance", "user.conf", "config.json")
LEFT_OUT = "Accuracy/mlperf_log_accuracy.json"


def neutral(config: dict[str, Any]) -> dict[str, Any]:
    """config.json without the machine it was written on."""
    scenario, category = config["flags"]["scenario"], config["flags"]["category"]
    config["run"]["command"] = ["python", "run.py", "--category", category, "--scenario", scenario]
    config["flags"]["results_dir"] = "./results"
    config["model"]["path"] = config["resolved"]["engine"]["model"] = config["model"]["requested"]
    kept = {name: value for name, value in config["system"].items() if "version" in name}
    # Written since, and the same in every run: how the next token is chosen.
    sampling = {"temperature": 0.0, "max_tokens": 128, "min_tokens": 1}
    config["resolved"].setdefault("sampling", sampling)
    config["system"] = kept | {
        "gpu_count": 1,
        "gpu_name": "engine double",
        "gpu_memory_bytes": 80 << 30,
        "cpu": "engine double",
        "cpu_count": 2,
        "memory_bytes": 256 << 30,
        "os": "Linux",
        "kernel": None,
        "git_commit": "0" * 40,
        "git_dirty": False,
    }
    return config


def _add(into: tarfile.TarFile, name: str, path: Path) -> None:
    content = path.read_bytes()
    if path.name == "config.json":
        content = json.dumps(neutral(json.loads(content)), indent=2).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    into.addfile(entry, io.BytesIO(content))


def main() -> None:
    results = map(Path, sys.argv[1:])
    folders = sorted(path.parent for folder in results for path in folder.glob("2*/config.json"))
    preset = 9 | lzma.PRESET_EXTREME
    with lzma.open(PACKED, "w", preset=preset) as out, tarfile.open(fileobj=out, mode="w") as into:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder)
                if path.is_file() and name.parts[0] in KEPT and str(name) != LEFT_OUT:
                    _add(into, str(folder.parent.name / Path(folder.name) / name), path)
    print(f"{PACKED.name}: {PACKED.stat().st_size:,} bytes of {len(folders)} runs")


if __name__ == "__main__":
    main()
