"""Two machines out of one: a Ray cluster of two nodes on one machine with two GPUs, and a command
that is run on the first node.

  sudo .venv/bin/python benchmarks/two_nodes.py -- python run.py --scenario offline \\
    --mode performance --precision fp8 --weights dummy --dataset synthetic \\
    --tensor-parallel-size 1 --data-parallel-size 2 --distributed-executor-backend ray

Each node is a network namespace with a GPU, an address and a /dev/shm of its own, joined to the
other by a virtual cable: on one network, both engines would choose the same ports. Afterwards the
namespaces and all processes in them are gone, whatever the command did; its exit status is this
program's. Needs root, Linux, two NVIDIA GPUs, Ray and pyroute2 (`pip install pyroute2`). The nodes
have no network outside: the model has to be here.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PORT = 6399
CORES, STORE_BYTES = "4", str(200 << 20)  # more than an engine asks of Ray
NODES = (1, 2)
CARD = "cable"  # the name of the network card, on either node
# What is between the nodes is the cable, and not the switch between the GPUs of this machine.
PLAIN_EXCHANGE = {
    "GLOO_SOCKET_IFNAME": CARD,  # no name leads to this machine's address
    "NCCL_SOCKET_IFNAME": CARD,
    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
    "NCCL_NVLS_ENABLE": "0",
    "NVSHMEM_DISABLE_NVLS": "1",
}
NAMESPACES = Path("/var/run/netns")
START_WITHIN_S = 90.0
END_WITHIN_S = 10.0
RAY = (sys.executable, "-m", "ray.scripts.scripts")  # the program is not everywhere in the PATH
_NEW_NETWORK, _NEW_MOUNTS = 0x40000000, 0x00020000  # of setns and unshare
_PRIVATE = 0x4000 | 1 << 18  # of mount: MS_REC | MS_PRIVATE
_NOBODY = "02:00:00:00:00:01"  # an address that no network card here has


@dataclass(frozen=True)
class Pair:
    """Two nodes and the cable between them; its number tells a pair from others of the machine."""

    number: int = 0

    def address(self, node: int) -> str:
        """The node's on the cable between the two."""
        return f"10.77.{self.number}.{node}"

    def namespace(self, node: int) -> str:
        """The name of the node's network."""
        return f"two-nodes-{self.number}-{node}"

    def environment(self, node: int) -> dict[str, str]:
        """What a process of the node sees: its GPU, its address, its cluster."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {
            **os.environ,
            **PLAIN_EXCHANGE,
            "PATH": programs,
            "CUDA_VISIBLE_DEVICES": str(node - 1),
            "VLLM_HOST_IP": self.address(node),
            "NCCL_HOSTID": self.namespace(node),  # else NCCL finds both on one machine
            "RAY_ADDRESS": f"{self.address(1)}:{PORT}",
        }

    def begin(self, node: int, command: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        """Starts a command on a node; `more` is Popen's."""
        return subprocess.Popen(
            command, env=self.environment(node), preexec_fn=_entering(self.namespace(node)), **more
        )

    def start_ray(self, node: int) -> None:
        """Starts Ray on a node; the first before the second. Raises CalledProcessError."""
        role = ["--head", "--port", str(PORT), "--include-dashboard", "false"]
        if node != 1:
            role = ["--address", f"{self.address(1)}:{PORT}"]
        command = [
            *RAY, "start", *role, "--node-ip-address", self.address(node), "--num-gpus", "1",
            "--num-cpus", CORES, "--object-store-memory", STORE_BYTES,
            "--temp-dir", str(self.folder(node)), "--disable-usage-stats",
        ]  # fmt: skip
        enter = _entering(self.namespace(node))
        if node != 1:  # all of the second node descends from this process
            enter = _with_own_shared_memory(enter)
        # Ray's processes keep what they inherit, and who waits for the end of a pipe waits on.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command, env=self.environment(node), preexec_fn=enter, timeout=START_WITHIN_S,
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            if done.returncode:
                said.seek(0)
                sys.stderr.buffer.write(said.read())
        done.check_returncode()

    def status(self) -> str:
        """What `ray status` says on the first node."""
        with self.begin(1, [*RAY, "status"], stdout=subprocess.PIPE, text=True) as asked:
            return str(asked.communicate(timeout=START_WITHIN_S)[0])

    def folder(self, node: int) -> Path:
        """Where the node's Ray keeps its files; a short name, as sockets are in there."""
        return Path(tempfile.gettempdir()) / self.namespace(node)

    def processes(self, node: int) -> list[psutil.Process]:
        """Every process that is alive in the node's network."""
        network = (NAMESPACES / self.namespace(node)).stat().st_ino
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                own = Path(f"/proc/{process.pid}/ns/net").stat().st_ino
                if own == network and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def end(self, node: int) -> None:
        """Ends all of a node's processes; Ray's own would take their time if they were asked."""
        give_up = time.monotonic() + END_WITHIN_S
        while (alive := self.processes(node)) and time.monotonic() < give_up:
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)

    def cut(self) -> None:
        """Cuts the cable: each node sends to nobody, and hears nothing.

        Its network card stays up, and so does its own address, as when a switch fails.
        """
        self._neighbours("replace", lladdr=_NOBODY, state="permanent")

    def mend(self) -> None:
        """Undoes `cut`."""
        self._neighbours("delete")

    def _neighbours(self, what: str, **more: str) -> None:
        for node in NODES:
            with self._inside(node) as (network, card):
                network.neigh(what, dst=self.address(3 - node), ifindex=card, **more)

    @contextlib.contextmanager
    def cable(self) -> Iterator[None]:
        """Both networks, joined, for as long as the block lasts; then whatever is in them ends."""
        try:
            with _one_at_a_time():
                self._join()
            yield
        finally:
            self._take_away()

    def _join(self) -> None:
        from pyroute2 import NetNS, netns

        first, second = map(self.namespace, NODES)
        for name in (first, second):
            netns.create(name)
        with NetNS(first, flags=0) as network, (NAMESPACES / second).open() as there:
            other_end = {"ifname": CARD, "net_ns_fd": there.fileno()}
            network.link("add", ifname=CARD, kind="veth", peer=other_end)
        for node in NODES:
            with self._inside(node) as (network, card):
                network.addr("add", index=card, address=self.address(node), prefixlen=24)
                for up in (card, *network.link_lookup(ifname="lo")):
                    network.link("set", index=up, state="up")

    def _take_away(self) -> None:
        from pyroute2 import netns

        for node in NODES:
            if (NAMESPACES / self.namespace(node)).exists():
                self.end(node)
                netns.remove(self.namespace(node))  # which takes the cable away, too
            shutil.rmtree(self.folder(node), ignore_errors=True)

    @contextlib.contextmanager
    def _inside(self, node: int) -> Iterator[tuple[Any, int]]:
        """The node's network as pyroute2 has it, and the number of its card there."""
        from pyroute2 import NetNS

        with NetNS(self.namespace(node), flags=0) as network:
            yield network, network.link_lookup(ifname=CARD)[0]


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keeps other pairs from being made meanwhile."""
    with (Path(tempfile.gettempdir()) / "two-nodes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _entering(namespace: str) -> Callable[[], None]:
    """What a new process does to be in that network."""
    path, libc = str(NAMESPACES / namespace), ctypes.CDLL(None, use_errno=True)
    setns = libc.setns  # found before the fork, after which no library should be looked for

    def enter() -> None:
        opened = os.open(path, os.O_RDONLY)
        if setns(opened, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
        os.close(opened)

    return enter


def _with_own_shared_memory(enter: Callable[[], None]) -> Callable[[], None]:
    """The same with a /dev/shm that no other process sees but those that descend from it."""
    libc = ctypes.CDLL(None, use_errno=True)
    unshare, mount = libc.unshare, libc.mount

    def enter_and_mount() -> None:
        enter()
        if (
            unshare(_NEW_MOUNTS)
            or mount(None, b"/", None, _PRIVATE, None)
            or mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, None)
        ):
            os.write(2, b"both nodes share /dev/shm: it cannot be mounted anew\n")

    return enter_and_mount


def _leave(number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """Runs the command on the first of two nodes; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="+", help="after --: what runs on the first node")
    parser.add_argument(
        "--pair", type=int, default=0, metavar="N", help="0 to 255, where several are made at once"
    )
    asked = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("network namespaces need root: sudo")
    pair = Pair(asked.pair)
    with pair.cable():
        # Terminated, it still takes its nodes away. Not before: pyroute2 forks, and terminates what
        # it has forked.
        signal.signal(signal.SIGTERM, _leave)
        for node in NODES:
            pair.start_ray(node)
        return pair.begin(1, asked.command).wait()


if __name__ == "__main__":
    sys.exit(main())
