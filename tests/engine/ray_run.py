"""run.py on several machines of a real Ray, with doubles in place of vLLM's engines: actors of the
same names, placed and watched as vLLM 0.26 does it, that answer each prompt backwards.

A program, for tests and for benchmarks/two_nodes_faults.py where there is no GPU.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
import types
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness.engine import vllm
from harness.machine import system as system_info
from harness.measure import runs

ANSWER_S = 0.2
LOOK_EVERY_S = 5.0  # as vLLM's


class RayWorkerProc:
    """What holds a GPU."""

    def wait_for_init(self) -> None:
        """Returns once this is there."""

    def run(self) -> None:
        while True:
            time.sleep(1)


class EngineCoreActor:
    """A copy of the model: it answers, and ends when its worker has."""

    def __init__(self, group: Any) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        worker = ray.remote(RayWorkerProc).options(
            num_cpus=0, num_gpus=1, scheduling_strategy=place
        )
        self._worker = worker.remote()
        ray.get(self._worker.wait_for_init.remote())
        self._work = self._worker.run.remote()

    def wait_for_init(self) -> None:
        """Returns once this is there."""

    def answer(self, token_ids: list[int]) -> list[int]:
        time.sleep(ANSWER_S)
        return token_ids[::-1]

    def run(self) -> None:
        import ray

        while not ray.wait([self._work], timeout=LOOK_EVERY_S)[0]:
            pass
        raise RuntimeError("Executor failed.")


class ActorManager:
    """vLLM's CoreEngineActorManager, as far as a run meets it."""

    def __init__(self, copies: int) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        ray.init()
        here = ray.get_runtime_context().get_node_id()
        nodes = sorted(ray.nodes(), key=lambda node: node["NodeID"] != here)
        self.created_placement_groups, self.actors = [], []
        for node in nodes[:copies]:
            there = {f"node:{node['NodeManagerAddress']}": 0.001}
            group = ray.util.placement_group(
                [{"GPU": 1, **there}, {"CPU": 1}], strategy="STRICT_PACK"
            )
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=1)
            actor = ray.remote(EngineCoreActor).options(
                max_concurrency=200, scheduling_strategy=place
            )
            self.created_placement_groups.append(group)
            self.actors.append(actor.remote(group))
        ray.get([actor.wait_for_init.remote() for actor in self.actors])
        self.run_refs = [actor.run.remote() for actor in self.actors]
        self.manager_stopped = threading.Event()

    def get_run_refs(self) -> list[Any]:
        return self.run_refs

    def monitor_engine_liveness(self) -> None:
        import ray

        while not self.manager_stopped.is_set():
            for done in ray.wait(self.run_refs, timeout=LOOK_EVERY_S)[0]:
                try:
                    ray.get(done)
                except ray.exceptions.RayActorError:
                    self.shutdown()
                    return

    def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002
        import ray

        self.manager_stopped.set()
        for actor in self.actors:
            ray.kill(actor)
        for group in self.created_placement_groups:
            ray.util.remove_placement_group(group)


class Core:
    """vLLM's client of its engines, and what tells it that one is dead."""

    def __init__(self, manager: ActorManager) -> None:
        self.resources = types.SimpleNamespace(
            engine_manager=manager, engine_dead=False, output_queue_task=None
        )
        self.outputs_queue: asyncio.Queue[Exception] = asyncio.Queue()
        threading.Thread(target=self._monitor, daemon=True).start()

    def _monitor(self) -> None:
        self.resources.engine_manager.monitor_engine_liveness()
        if self.resources.output_queue_task is not None:
            loop = self.resources.output_queue_task.get_loop()
            loop.call_soon_threadsafe(self.outputs_queue.put_nowait, EngineDeadError())


class EngineDeadError(Exception):
    """vLLM's."""


class Llm:
    """vLLM's AsyncLLM over the actors."""

    def __init__(self, manager: ActorManager) -> None:
        self.manager = manager
        self.engine_core = Core(manager)
        self._asked = 0

    async def generate(self, prompt: list[int], _params: Any, _name: str) -> AsyncIterator[Any]:
        resources = self.engine_core.resources
        if resources.output_queue_task is None:
            resources.output_queue_task = asyncio.create_task(self.engine_core.outputs_queue.get())
        self._asked += 1
        actor = self.manager.actors[self._asked % len(self.manager.actors)]
        answer = asyncio.wrap_future(actor.answer.remote(prompt).future())
        answer.add_done_callback(lambda one: one.cancelled() or one.exception())
        await asyncio.wait(
            [answer, resources.output_queue_task], return_when=asyncio.FIRST_COMPLETED
        )
        if not answer.done() or answer.exception() is not None:
            # In vLLM answers come over a socket, which does not say that its other end is gone.
            await resources.output_queue_task
            raise EngineDeadError
        tokens = answer.result()
        for part in (tokens[:1], tokens[1:]):
            yield types.SimpleNamespace(outputs=[types.SimpleNamespace(token_ids=part)])

    def shutdown(self) -> None:
        self.manager.shutdown()


class RayEngine(vllm.Engine):
    """The engine of a run, with such actors below it."""

    def _load(self) -> None:
        manager = ActorManager(self.plan.config.data_parallel_size)
        self._llm = Llm(manager)
        self._processes = manager
        self._tokens_input = list
        self._watch.start(len(self.plan.system.others), self._llm.engine_core)


def main() -> int:
    """run.py, for whose checks this machine has a GPU."""
    import run

    collect = system_info.collect
    system_info.collect = lambda: replace(collect(), gpu_count=1)
    vllm.installed_build = lambda: "gpu"
    runs.Series = functools.partial(runs.Series, make_engine=RayEngine)  # type: ignore[assignment, misc]
    return run.main()


if __name__ == "__main__":
    sys.exit(main())
