"""benchmarks/two_nodes.py and two_nodes_faults.py, as far as they go without root and Ray."""

from __future__ import annotations

import re

import pytest

from benchmarks.two_nodes import Pair
from benchmarks.two_nodes_faults import _FREE, _RAYS_OWN, FAULTS, Seen, problems

SESSION = "/tmp/two-nodes-0-2/session_2026-11-29_04-56-30_013539_17912"
GONE = Seen(ended_s=7.5, exit_status=1, clean_s=7.6, free_gpus="1 of 1")


def test_nodes_and_pairs_do_not_meet() -> None:
    names = {Pair(pair).namespace(node) for pair in (0, 1, 12) for node in (1, 2)}
    addresses = {Pair(pair).address(node) for pair in (0, 1, 12) for node in (1, 2)}

    assert len(names) == len(addresses) == 6
    assert Pair(3).environment(2)["CUDA_VISIBLE_DEVICES"] == "1"
    assert Pair(3).environment(2)["RAY_ADDRESS"].startswith(f"{Pair(3).address(1)}:")


@pytest.mark.parametrize(
    "command",
    [
        f"/site/ray/core/src/ray/raylet/raylet --raylet_socket_name={SESSION}/sockets/raylet ",
        f"/site/ray/core/src/ray/gcs/gcs_server --log_dir={SESSION}/logs ",
        f"/bin/python -u /site/ray/_private/log_monitor.py --session-dir={SESSION} ",
        "/bin/python -m ray.util.client.server --address=10.77.0.1:6399 ",
        "ray::DashboardAgent ",
        "ray::IDLE ",
    ],
)
def test_what_ray_itself_runs_is_not_left_by_a_run(command: str) -> None:
    assert _RAYS_OWN.search(command)


@pytest.mark.parametrize(
    "command",
    ["ray::EngineCoreActor ", "ray::RayWorkerProc.run ", "ray::Lookout ", "/bin/python run.py "],
)
def test_what_a_run_starts_would_be_left_by_it(command: str) -> None:
    assert not _RAYS_OWN.search(command)


def test_the_gpus_in_use_are_read_from_rays_status() -> None:
    found = _FREE.search(" 1.0/2.0 GPU (1.0 used of 1.0 reserved in placement groups)\n")

    assert found is not None
    assert found.groups() == ("1.0", "2.0")


def test_a_fault_that_ends_as_it_should_has_no_problems() -> None:
    assert list(problems(FAULTS[0], GONE)) == []


def test_each_thing_that_is_not_as_it_should_be_is_named() -> None:
    seen = Seen(exit_status=2, left=("node 2: 12 ray::RayWorkerProc",), free_gpus="1 of 2")
    seen.said = "Traceback (most recent call last):\n"

    assert list(problems(FAULTS[1], seen)) == [
        "run.py went on for more than 60 s",
        "exit status 2, not 1",
        "left: node 2: 12 ray::RayWorkerProc",
        "Ray has 1 of 2 GPUs free",
        "a traceback on stderr",
    ]


def test_every_fault_has_a_name_of_its_own_and_victims_that_can_be_found() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    lines = ["/ray/raylet/raylet --node ", "ray::EngineCoreActor.run ", "ray::RayWorkerProc.run "]
    for fault in FAULTS:
        if fault.victim:
            assert sum(bool(re.search(fault.victim, line)) for line in lines) == 1
