"""Two machines out of one: a Ray cluster of two nodes on one machine with two GPUs, and a command
that is run on the first node.

  sudo .venv/bin/python benchmarks/two_nodes.py -- python run.py --scenario offline \\
    --mode performance --precision fp8 --weights dummy --dataset synthetic \\
    --tensor-parallel-size 1 --data-parallel-size 2 --distributed-executor-backend ray

Each node is a network namespace with a GPU and an address of its own, joined to the other by a
virtual cable: on one network, both engines would choose the same ports. Afterwards
the namespaces are gone and every Ray of the machine is stopped, whatever the command did; its exit
status is this program's. Needs root, Linux with
iproute2 (`ip netns`), two NVIDIA GPUs and Ray. It has no network outside: the model has to be here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

PREFIX, PORT = "10.77.0", 6399
NODES = (1, 2)
# Two nodes of one host would take the switch between their GPUs for one of a single machine.
PLAIN_EXCHANGE = {"TORCH_SYMM_MEM_DISABLE_MULTICAST": "1", "NCCL_NVLS_ENABLE": "0"}


def address(node: int) -> str:
    """The node's on the cable between the two."""
    return f"{PREFIX}.{node}"


def namespace(node: int) -> str:
    """The name that `ip netns` knows it by."""
    return f"two-nodes-{node}"


def environment(node: int) -> dict[str, str]:
    """What a process of the node sees: its GPU, its address, its cluster."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        **PLAIN_EXCHANGE,
        "PATH": programs,
        "CUDA_VISIBLE_DEVICES": str(node - 1),
        "VLLM_HOST_IP": address(node),
        "RAY_ADDRESS": f"{address(1)}:{PORT}",
    }


def inside(node: int, command: Sequence[str]) -> list[str]:
    """A command as it is run in the node's namespace."""
    return ["ip", "netns", "exec", namespace(node), *command]


def ray_start(node: int) -> list[str]:
    """The command that begins Ray on a node."""
    role = ["--head", "--port", str(PORT)] if node == 1 else ["--address", f"{address(1)}:{PORT}"]
    return ["ray", "start", *role, "--node-ip-address", address(node), "--num-gpus", "1"]


@contextlib.contextmanager
def cable() -> Iterator[None]:
    """Both namespaces, joined, for as long as the block lasts."""
    ends = {node: f"two-nodes-v{node}" for node in NODES}
    try:
        for node in NODES:
            _ip("netns", "add", namespace(node))
        _ip("link", "add", ends[1], "type", "veth", "peer", "name", ends[2])
        for node, end in ends.items():
            _ip("link", "set", end, "netns", namespace(node))
            within = ("-n", namespace(node))
            _ip(*within, "link", "set", "lo", "up")
            _ip(*within, "addr", "add", f"{address(node)}/24", "dev", end)
            _ip(*within, "link", "set", end, "up")
        yield
    finally:
        for node in NODES:  # which takes the cable away, too
            subprocess.run(["ip", "netns", "delete", namespace(node)], check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def main() -> int:
    """Runs the command on the first of two nodes; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="+", help="after --: what runs on the first node")
    command = parser.parse_args().command
    if os.geteuid() != 0:
        parser.error("network namespaces need root: sudo")
    with cable():
        try:
            for node in NODES:
                start = inside(node, ray_start(node))
                subprocess.run(start, env=environment(node), check=True)
            return subprocess.run(inside(1, command), env=environment(1), check=False).returncode
        finally:
            # One process list for both: this stops every Ray of the machine.
            subprocess.run(["ray", "stop"], env=environment(1), check=False)


if __name__ == "__main__":
    sys.exit(main())
