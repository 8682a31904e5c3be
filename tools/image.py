"""Builds the images, and tries the CPU image, by docker, podman or buildah: whichever works here.

make image          mlperf-llama31:clean, for NVIDIA GPUs
make image-cpu      mlperf-llama31:cpu
make smoke-image    the CPU image from a copy of this folder, the demo run in it, and what it left

make image IMAGE_ARGS="--build-arg HOPPER=0"    further arguments of the build
make image BUILDER=podman                       another program than the first that works
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDERS = ("docker", "podman", "buildah")
TAGS = {"gpu": "mlperf-llama31:clean", "cpu": "mlperf-llama31:cpu"}
RESULTS = "/app/results"
# What must stay out of the image; `make smoke-image` puts them into the folder it builds from.
PRIVATE = (".env", ".git/config", "results/20260101-000000-datacenter-offline/report.md")
SOMEBODY = 12345  # owns the results folder where root tries the image
COMMANDS = ("image", "image-cpu", "smoke-image")


class ImageError(Exception):
    """What could not be done and why, for the person who typed make."""


@dataclass(frozen=True)
class Check:
    """Something that must hold of the image, and what was found."""

    what: str
    holds: bool
    found: str = ""

    def __str__(self) -> str:
        return f"  {'ok    ' if self.holds else 'FAILED'}  {self.what}" + (
            f": {self.found}" if self.found else ""
        )


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(f"usage: {Path(__file__).name} {{{','.join(COMMANDS)}}}", file=sys.stderr)
        return 2
    try:
        builder = choose_builder(os.environ.get("BUILDER", ""))
        if sys.argv[1] == "smoke-image":
            return smoke(builder)
        build(builder, "gpu" if sys.argv[1] == "image" else "cpu", ROOT)
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def choose_builder(asked: str) -> str:
    """The first program that is there and works, or the one asked for. Raises ImageError."""
    for name in [asked] if asked else BUILDERS:
        # docker's client alone is no help: its daemon has to answer.
        if shutil.which(name) and _quiet(name, "info").returncode == 0:
            return name
    raise ImageError(
        f"{asked or 'Neither docker nor podman nor buildah'} works here: install one of them, and "
        "see whether its `info` answers (docker's needs the daemon, and a user who may ask it)."
    )


def build(builder: str, target: str, context: Path) -> str:
    """Builds an image out of `context` and returns its name. Raises ImageError."""
    tag = TAGS[target]
    command = [builder, "build", "--target", target, "-t", tag]
    for name, value in origin(ROOT).items():
        command += ["--label", f"org.opencontainers.image.{name}={value}"]
    command += [*shlex.split(os.environ.get("IMAGE_ARGS", "")), "."]
    print(shlex.join(command), flush=True)
    if subprocess.run(command, cwd=context, check=False).returncode:
        raise ImageError(f"{builder} could not build {tag}; what it said stands above.")
    return tag


def origin(checkout: Path) -> dict[str, str]:
    """Where the source is and its commit, as far as git knows; never a password."""

    def ask(*words: str) -> str:
        try:
            return _quiet("git", "-C", str(checkout), *words).stdout.strip()
        except OSError:
            return ""

    found = {
        "source": re.sub(r"//[^/@]*@", "//", ask("config", "--get", "remote.origin.url")),
        "revision": ask("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"),
    }
    return {name: value for name, value in found.items() if value}


def smoke(builder: str) -> int:
    """Builds the CPU image, runs the demo in it and looks at all that it left; the exit status."""
    with tempfile.TemporaryDirectory() as temporary:
        context, results = Path(temporary, "context"), Path(temporary, "results")
        copy_with_private_files(context)
        tag = build(builder, "cpu", context)
        results.mkdir()
        if os.getuid() == 0:
            os.chown(results, SOMEBODY, SOMEBODY)
        listed = listing(run_in(builder, tag, None, "ls", "-A", ".", "results"), builder)
        done = run_in(builder, tag, results, "python", "tools/in_image.py")
        print(done.stdout + done.stderr)
        checks = [*of_the_build(listed), *of_the_run(done.stdout, results)]
    print(*checks, sep="\n")
    return 0 if all(check.holds for check in checks) else 1


def copy_with_private_files(context: Path) -> None:
    """This folder's files as git sees them, and with them such as must not travel."""
    names = _quiet("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z").stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, context / name)
    for name in PRIVATE:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("HF_TOKEN=private\n")


def run_in(
    builder: str, tag: str, results: Path | None, *command: str
) -> subprocess.CompletedProcess[str]:
    """A command in a container of the image, with a results folder or without one."""
    volume = ["-v", f"{results}:{RESULTS}"] if results else []
    if builder != "buildah":
        return _quiet(builder, "run", "--rm", "--shm-size", "1g", *volume, tag, *command)
    container = _quiet("buildah", "from", "--pull-never", tag).stdout.strip()
    try:
        start = _quiet(
            "buildah", "inspect", "--format", "{{json .OCIv1.Config.Entrypoint}}", container
        )
        return _quiet(
            "buildah", "run", "--env", "TINI_SUBREAPER=1", *volume, container, "--",
            *json.loads(start.stdout), *command,
        )  # fmt: skip
    finally:
        _quiet("buildah", "rm", container)


def listing(done: subprocess.CompletedProcess[str], builder: str) -> str:
    """What a first command printed. Raises ImageError where no container can be started."""
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ImageError(
            f"{builder} built the image and cannot run it ({said[-1]}); BUILDER= takes another of "
            f"{', '.join(BUILDERS)}."
        )
    return done.stdout


def of_the_build(listed: str) -> Iterator[Check]:
    """What `ls -A . results` prints in the image without a volume."""
    names = set(listed.split())
    yield Check("run.py is in the image", "run.py" in names)
    inside = sorted(names & {Path(name).parts[0] for name in PRIVATE} - {"results"})
    yield Check(".env and .git are not in it", not inside, ", ".join(inside))
    runs = sorted(name for name in names if re.match(r"\d{8}-\d{6}-", name))
    yield Check("earlier results are not in it", not runs, ", ".join(runs))


def of_the_run(printed: str, results: Path) -> Iterator[Check]:
    """What tools/in_image.py printed last, and what lies in the results folder."""
    try:
        said = json.loads(printed.strip().splitlines()[-1])
    except (IndexError, ValueError):
        yield Check("the demo ran", holds=False, found="it did not start")
        return
    yield Check("the demo's exit status is 0", said["exit_status"] == 0, str(said["exit_status"]))
    changed = said["changed"]
    yield Check("no file of the image was changed", not changed, ", ".join(changed[:5]))
    latest = results / "latest"
    report = latest / "report.md"
    yield Check("latest leads to the run", latest.is_symlink() and latest.is_dir())
    verdict = "VALID BUT UNOFFICIAL"
    yield Check(
        f"its report says {verdict}", report.is_file() and verdict in report.read_text("utf-8")
    )
    owner = results.stat().st_uid
    others = [path for path in results.rglob("*") if path.lstat().st_uid != owner]
    yield Check(
        f"all results belong to user {owner}, as their folder does",
        not others,
        ", ".join(path.name for path in others[:5]),
    )


def _quiet(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
