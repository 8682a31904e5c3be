"""Every line of the pages for docker and Apptainer fits the Dockerfile and the programs."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.installed import source_of
from tests import pages
from tools import image

DOCKERFILE = pages.read(pages.PROJECT / "Dockerfile")
STAGES = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, flags=re.MULTILINE)
ENTRYPOINT = pages.PROJECT / "tools" / "docker-entrypoint.sh"
IN_THE_IMAGE = "/app/"
PLACEHOLDERS = {"...", "IMAGE"}
MODELS = "/models"  # where the pages for several machines put a model
OWN_VARIABLES = {"HF_HUB_OFFLINE", "VLLM_HOST_IP", "MPLCONFIGDIR"}
EACH = pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)


def run_parser() -> argparse.ArgumentParser:
    """The options of `docker run` that the pages use."""
    parser = argparse.ArgumentParser("docker run", allow_abbrev=False, exit_on_error=False)
    for flag in ("--gpus", "--env-file", "--shm-size", "--ipc", "--network", "--name", "--user"):
        parser.add_argument(flag)
    for flag in ("-v", "-e", "--tmpfs"):
        parser.add_argument(flag, action="append", default=[])
    for flag in ("--rm", "--read-only", "-d", "-i", "-t"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def parsed(words: list[str]) -> argparse.Namespace:
    """The words behind `docker run`, where `-it` is two options."""
    given, unknown = run_parser().parse_known_args([word for word in words if word != "-it"])
    assert not unknown
    return given


def lines(page: Path, verb: str) -> Iterator[list[str]]:
    """The words behind each `docker VERB` of a page that is a whole command."""
    for words in pages.container_commands(pages.read(page)):
        if words[1] == verb and words[2:] not in ([], ["--env-file", ".env"]):
            yield words[2:]


def as_the_entrypoint_takes(command: list[str]) -> list[str]:
    """What runs in a container that is given these words."""
    done = subprocess.run(
        ["sh", "-c", _entrypoint_for_a_test(), "sh", *command],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def _entrypoint_for_a_test() -> str:
    """The script, printing the command where it would become it."""
    script = pages.read(ENTRYPOINT).replace("/app/results", "/tmp").replace("/cache", "/tmp")
    return re.sub(r"exec (?:\$as_owner )?", "exec printf '%s\\\\n' ", script)


def writable_places() -> set[str]:
    """The folders of the image that anybody may write to."""
    made = re.findall(r"^RUN mkdir (.*?) && chmod 1777 (.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert made
    assert made[0][0] == made[0][1]
    return {f"{'' if name.startswith('/') else IN_THE_IMAGE}{name}" for name in made[0][0].split()}


@EACH
def test_what_is_built_is_a_stage_of_the_dockerfile(page: Path) -> None:
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, flags=re.MULTILINE))
    for words in lines(page, "build"):
        assert words[-1] == "."
        options = dict(zip(words[:-1:2], words[1:-1:2], strict=True))
        target = options.pop("--target", STAGES[-1])
        assert options.pop("-t") == image.TAGS[target]
        assert options.pop("--build-arg", "HOPPER=0").partition("=")[0] in arguments
        assert not options


@EACH
def test_what_is_run_is_an_image_with_volumes_and_variables_that_it_knows(page: Path) -> None:
    known = OWN_VARIABLES | set(re.findall(r"^ENV (\w+)=", DOCKERFILE, flags=re.MULTILINE))
    for words in lines(page, "run"):
        if words[:1] == ["..."]:
            continue
        given = parsed(words)
        assert given.image in {*image.TAGS.values(), *PLACEHOLDERS}
        for volume in given.v:
            target = volume.split(":")[1]
            assert target in {*writable_places(), MODELS}, volume
        assert {variable.partition("=")[0] for variable in given.e} <= known
        assert {place.removesuffix(":exec") for place in given.tmpfs} <= {
            *writable_places(), "/tmp"
        }  # fmt: skip
        assert given.env_file in (None, ".env")
        assert given.gpus in (None, "all")
        assert given.image != image.TAGS["cpu"] or not given.gpus
        assert re.fullmatch(r"\d+[mg]", given.shm_size or "1g")


@EACH
def test_what_is_run_in_a_container_is_understood(page: Path, parse: Callable[[str], None]) -> None:
    for words in lines(page, "run"):
        command = words[1:] if words[:1] == ["..."] else parsed(words).command
        taken = as_the_entrypoint_takes(command) if command else []
        if taken[:1] == ["python"] and "..." not in taken:
            with pytest.raises(pages.Understood):
                parse(shlex.join(taken[1:]))
        else:
            assert not taken or taken[0] in ("ray", "bash"), taken


@EACH
def test_apptainer_takes_what_docker_saved(page: Path, parse: Callable[[str], None]) -> None:
    saved = {words[1] for words in lines(page, "save") if words[2] in image.TAGS.values()}
    made = set()
    for _, verb, *words in pages.container_commands(pages.read(page), "apptainer"):
        if verb == "build":
            assert words[1].removeprefix("docker-archive:") in saved
            made.add(words[0])
            continue
        start = next(place for place, word in enumerate(words) if word in made)
        binds = words[words.index("--bind") + 1].split(",")
        assert {bind.partition(":")[2] for bind in binds} == writable_places()
        assert words[words.index("--cwd") + 1] + "/" == IN_THE_IMAGE
        with pytest.raises(pages.Understood):
            parse(shlex.join(as_the_entrypoint_takes(words[start + 1 :])[1:]))


def test_the_pages_hold_lines_for_both_images_and_all_that_this_looks_at() -> None:
    ours = [line for page in pages.ENGLISH for line in lines(page, "run")]

    assert set(image.TAGS.values()) <= {word for line in ours for word in line}
    assert {"--read-only", "--user", "check"} <= {word for line in ours for word in line}


def test_the_comment_of_the_dockerfile_names_its_images_and_folders() -> None:
    comment = DOCKERFILE.partition("FROM")[0]

    assert set(re.findall(r"mlperf-llama31:\w+", comment)) == set(image.TAGS.values())
    assert set(re.findall(r"-v \S+?:(\S+)", comment)) == writable_places()


@pytest.mark.parametrize(
    ("command", "taken"),
    [
        (["check", "--model", "demo"], ["python", "run.py", "check", "--model", "demo"]),
        (["fetch", "model"], ["python", "run.py", "fetch", "model"]),
        (["--model", "demo"], ["python", "run.py", "--model", "demo"]),
        (["python", "mmlu.py", "--lang", "ko"], ["python", "mmlu.py", "--lang", "ko"]),
        (["bash"], ["bash"]),
    ],
)
def test_the_words_check_and_fetch_and_flags_are_run_pys(
    command: list[str], taken: list[str]
) -> None:
    assert as_the_entrypoint_takes(command) == taken


def test_an_image_alone_prints_the_help() -> None:
    assert 'CMD ["python", "run.py", "--help"]\n' in DOCKERFILE
    assert 'ENTRYPOINT ["tini", "--", "/app/tools/docker-entrypoint.sh"]\n' in DOCKERFILE


def test_the_version_of_the_image_is_the_projects() -> None:
    project = tomllib.loads(pages.read(pages.PROJECT / "pyproject.toml"))["project"]

    assert f'org.opencontainers.image.version="{project["version"]}"' in DOCKERFILE


def test_the_installation_comes_before_the_rest_and_with_all_its_files() -> None:
    """A change of run.py must not install again, and an installation must find its parts."""
    base = DOCKERFILE[: DOCKERFILE.index("AS cpu")]
    copied = {Path(name).name for name in re.findall(r"tools/\w+\.py", base)}

    assert copied == {f"{name}.py" for name in _parts_of("setup_venv")} | {"get_punkt.py"}
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[2:]:
        whole_copy = stage.index("COPY . .")
        assert stage.index("tools/setup_venv.py --image") < whole_copy
        assert "compileall" in stage[whole_copy:]


def _parts_of(module: str) -> set[str]:
    """A module of tools/ and all of tools/ that it imports."""
    names = {module}
    for node in ast.walk(ast.parse(pages.read(pages.PROJECT / "tools" / f"{module}.py"))):
        if isinstance(node, ast.ImportFrom) and node.module == "tools":
            names |= {part for alias in node.names for part in _parts_of(alias.name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tools."):
            names |= _parts_of((node.module or "").removeprefix("tools."))
    return names


def test_the_variables_of_vllm_are_vllms() -> None:
    source = source_of("vllm", "envs.py")
    if source is None:
        pytest.skip("vLLM is not installed")
    names = {name for name in OWN_VARIABLES if name.startswith("VLLM_")}

    assert {name for name in names if f'"{name}"' in source} == names
