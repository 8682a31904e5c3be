"""A whole search on engine doubles: its plan, its budget, what it keeps and where it goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.engine import plan as engine_plan
from harness.engine.plan import EnginePlan
from harness.engine.profiles import Profile
from harness.engine.settings import Sampling
from harness.errors import EngineError, UsageError
from harness.inputs import quantization
from harness.inputs.quantization import Quantization
from harness.machine.system import SystemInfo
from harness.measure import preparation
from harness.measure.preparation import Prepared
from harness.terminal import Terminal
from harness.tuning import file as tuning_file
from harness.tuning import search as tuning
from harness.tuning import session as tune_session
from harness.tuning import trial
from tests.engine.checkpoints import FP8_TENSORS
from tests.fakes import FakeEngine

COMMAND = ["python", "run.py", "--model", "demo", "--tune", "30", "--dataset", "synthetic"]


class TunedDouble(FakeEngine):
    """Takes `max_num_seqs` prompts at a time, each 20 ms; cannot be compiled.

    What a trial makes of its speed is looked at in test_trial.py.
    """

    loaded: list[dict[str, Any]] = []  # noqa: RUF012 - shared on purpose: each trial has its own engine

    def __init__(self, plan: EnginePlan, _sampling: Sampling):
        super().__init__(seconds_per_answer=0.02)
        self.plan = plan
        self.settings = settings = plan.settings
        self.turn = asyncio.Semaphore(settings["max_num_seqs"])

    def load(self) -> None:
        self.loaded.append(self.settings)
        if not self.settings["enforce_eager"]:
            raise EngineError("The engine did not start: no compiler")

    def abandon(self) -> bool:
        return False

    def shutdown(self) -> None:
        """Nothing to end."""

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        async with self.turn:
            return await super().answer(token_ids[:4], on_first_token)


@pytest.fixture(scope="module")
def demo() -> Prepared:
    config = RunConfig(
        model="demo", dataset="synthetic", mode="performance", total_sample_count=8, tune_minutes=30
    )
    return preparation.prepare(config, lambda _text: None)


@pytest.fixture
def prepared(demo: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setattr(TunedDouble, "loaded", [])
    if demo.plan.device != "cpu":
        pytest.skip("the plan of a CPU is what is looked at")
    config = demo.config.with_values(results_dir=str(tmp_path / "results"))
    return with_config(demo, config)


def prepare_with_tuning(config: RunConfig) -> Prepared:
    """As run.py prepares a run: with what a search has found."""
    results_dir = Path(config.results_dir)

    def find(final: RunConfig, system: SystemInfo) -> Profile | None:
        return tuning_file.find(results_dir, final, system)

    return preparation.prepare(config, lambda _text: None, find_tuned=find)


def with_config(prepared: Prepared, config: RunConfig) -> Prepared:
    """The run under other flags, its engine planned anew."""
    before = prepared.plan
    site = engine_plan.Site(before.device, before.system)
    after = engine_plan.make(config, before.model, site, before.purpose)
    return dataclasses.replace(prepared, config=config, plan=after)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores an engine by the sequences it takes, so that no test hangs on the machine's load."""

    async def score(engine: TunedDouble, *_: object, **__: object) -> trial.TrialScore:
        return trial.TrialScore(100.0 * engine.settings["max_num_seqs"], {})

    monkeypatch.setattr(trial, "measure", score)


def execute(
    prepared: Prepared, minutes: float = 30, engine: type[TunedDouble] = TunedDouble
) -> int:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        make: Any = engine
        return tune_session.execute(prepared, minutes, COMMAND, Terminal(), make)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def recorded(prepared: Prepared) -> dict[str, Any]:
    content = json.loads((Path(prepared.config.results_dir) / "tuning.json").read_text())
    assert len(content["searches"]) == 1
    found: dict[str, Any] = content["searches"][0]
    return found


def test_a_checkpoint_in_fp8_is_searched_as_fp8(prepared: Prepared) -> None:
    """The largest block of the KV cache that is worth a trial is another than for bf16."""
    on_gpu = dataclasses.replace(prepared.plan.place, device="gpu", memory_bytes=140 << 30)
    came = quantization.read("./model", Path(), {"quantization_config": FP8_TENSORS})

    make: Any = TunedDouble

    def largest_block(known: Quantization | None) -> int:
        model = dataclasses.replace(prepared.plan.model, quantization=known)
        plan = dataclasses.replace(prepared.plan, place=on_gpu, model=model)
        asked = dataclasses.replace(prepared, plan=plan)
        search = tune_session.TuneSession(asked, 30, COMMAND, Terminal(), make).plan
        tried = [s for v in search.variations for s in search.candidates(v, search.base)]
        return max(int(settings.get("block_size", 0)) for settings in tried)

    assert (largest_block(came), largest_block(None)) == (224, 128)


@pytest.mark.usefixtures("scored")
def test_a_search_keeps_what_is_faster_and_later_runs_use_it(
    prepared: Prepared, capfd: pytest.CaptureFixture[str]
) -> None:
    assert execute(prepared) == 0

    said = capfd.readouterr().out
    assert said.startswith("tuning: at most 4 trials; about 1 min each (a guess")
    assert "trial 4: max_num_seqs=128, max_num_batched_tokens=8192, enforce_eager=false: " in said
    assert "failed: The engine did not start: no compiler" in said
    assert said.splitlines()[-1] == "  python run.py --model demo --dataset synthetic"
    record = recorded(prepared)
    assert record["complete"]
    assert [trial["settings"]["max_num_seqs"] for trial in record["trials"]] == [64, 32, 128, 128]
    assert record["best"]["settings"]["max_num_seqs"] == 128
    assert record["system"]["vllm_version"] == prepared.plan.system.vllm_version

    later = prepare_with_tuning(prepared.config.with_values(tune_minutes=None))
    assert later.plan.settings["max_num_seqs"] == 128
    assert later.plan.profile.source.startswith("tuned on ")
    given = later.config.with_values(engine_args={"max_num_seqs": 16})
    assert prepare_with_tuning(given).plan.settings["max_num_seqs"] == 16


@pytest.mark.usefixtures("scored")
def test_no_trial_begins_that_would_end_after_the_budget_and_the_next_search_goes_on(
    prepared: Prepared, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 45.0, 61.0])  # at each look at the clock
    with monkeypatch.context() as clock:
        clock.setattr(tuning, "expected_s", lambda _plan, _trials: 60.0)
        clock.setattr(tune_session.TuneSession, "used_s", property(lambda _self: next(seconds)))
        assert execute(prepared, minutes=2) == 0
    assert "the time is used up" in capfd.readouterr().out
    assert [settings["max_num_seqs"] for settings in TunedDouble.loaded] == [64, 32]
    assert not recorded(prepared)["complete"]

    assert execute(prepared) == 0

    said = capfd.readouterr().out
    assert "at most 4 trials, 2 of them recorded earlier" in said
    tried = [settings["max_num_seqs"] for settings in TunedDouble.loaded]
    assert tried == [64, 32, 128, 128]


def test_a_budget_too_short_for_one_trial_is_refused_and_nothing_is_written(
    prepared: Prepared,
) -> None:
    with pytest.raises(UsageError, match=r"--tune 0\.5: one trial takes about 1 min here"):
        execute(prepared, minutes=0.5)
    assert not Path(prepared.config.results_dir).exists()


@pytest.mark.usefixtures("scored")
def test_a_complete_search_loads_nothing_again(
    prepared: Prepared, capfd: pytest.CaptureFixture[str]
) -> None:
    assert execute(prepared) == 0
    first = capfd.readouterr().out

    assert execute(prepared, minutes=0.1) == 0

    assert len(TunedDouble.loaded) == 4
    assert capfd.readouterr().out.splitlines()[-8:] == first.splitlines()[-8:]


class NeverStarts(TunedDouble):
    def load(self) -> None:
        raise EngineError("The engine did not start: no memory")


def test_a_search_in_which_nothing_works_fails_with_the_reason(
    prepared: Prepared, capfd: pytest.CaptureFixture[str]
) -> None:
    assert execute(prepared, engine=NeverStarts) == 1

    assert "run.py: No trial has worked. The last one: The engine did not start: no memory" in (
        capfd.readouterr().err
    )
    assert recorded(prepared)["best"] is None


class Interrupts(TunedDouble):
    def load(self) -> None:
        super().load()
        if len(self.loaded) == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("scored")
def test_ctrl_c_keeps_what_was_measured(
    prepared: Prepared, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    execute(prepared, engine=Interrupts)

    assert ended == [130]
    assert "run.py: interrupted by SIGINT" in capfd.readouterr().err
    assert [trial["settings"]["max_num_seqs"] for trial in recorded(prepared)["trials"]] == [64]


def test_a_budget_of_just_one_trial_has_one(prepared: Prepared) -> None:
    assert execute(prepared, minutes=1) == 0

    assert len(recorded(prepared)["trials"]) >= 1


def test_a_search_with_nothing_to_vary_is_refused(prepared: Prepared) -> None:
    fixed = {"max_num_seqs": 16, "enforce_eager": True}
    config = prepared.config.with_values(engine_args=fixed)

    with pytest.raises(UsageError, match="fixes all that would be varied"):
        execute(with_config(prepared, config))


@pytest.mark.usefixtures("scored")
def test_arguments_of_the_user_hold_in_every_trial(prepared: Prepared) -> None:
    config = prepared.config.with_values(engine_args={"max_num_seqs": 16})

    assert execute(with_config(prepared, config)) == 0

    assert [settings["max_num_seqs"] for settings in TunedDouble.loaded] == [16, 16]
    assert recorded(prepared)["work"]["engine_args"] == {"max_num_seqs": 16}


@pytest.mark.parametrize("scenario", [Scenario.SINGLESTREAM, Scenario.INTERACTIVE])
def test_every_scenario_can_be_searched(scenario: Scenario, prepared: Prepared) -> None:
    config = prepared.config.with_values(scenario=scenario)

    assert execute(with_config(prepared, config)) == 0

    assert recorded(prepared)["goal"]["unit"] == (
        "ms" if scenario is Scenario.SINGLESTREAM else "tokens/s"
    )
