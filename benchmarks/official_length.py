"""Run folders of full official length without a GPU: real LoadGen, real settings, an engine double.

  python benchmarks/official_length.py --scenario offline --results-dir /tmp/official  (11 minutes)
  python benchmarks/official_length.py --scenario server --results-dir /tmp/official
  python benchmarks/official_length.py --category edge --results-dir /tmp/official
  python benchmarks/official_length.py --min-duration 2 --results-dir /tmp/short

13,368 (edge: 5,000) made-up articles go through the whole path of run.py: Session, LoadGen's
processes, TEST06, scoring, report. The double answers each with its reference summary, about 611
characters as the real ones, so the accuracy gate is passed; accuracy at once, performance at a set
pace. No log is edited. What comes out tests the verdict and the submission tree and is no result of
any machine: config.json says `engine double` wherever it says what was run. The flags are those of
run.py by the same names, so that what a report proposes to type next can be typed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import config, flags
from harness.config import CATEGORIES, RunConfig, Scenario
from harness.engine import profiles
from harness.engine.plan import EnginePlan
from harness.engine.settings import Purpose, engine_settings
from harness.inputs import dataset
from harness.inputs import model as models
from harness.inputs.tokenizer import load_tokenizer
from harness.loadgen import release
from harness.loadgen.planning import Pace, Target
from harness.machine import system as system_info
from harness.measure import performance
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared, sampling_of
from harness.measure.runs import Series
from harness.results.folder import DETAIL_LOG
from harness.rounds import OFFICIAL_MODEL_REVISION, ROUNDS, V5_1
from harness.rules.departures import RunFacts, departures
from harness.terminal import Terminal

DOUBLE = "an engine double with made-up articles, not the model"
CHARACTERS = 611  # of a summary: the reference's 8,167,644 characters over 13,368 answers
WORDS_A_SENTENCE = 12
TEXTS = 400  # distinct summaries; more would only take longer to make
PASS_MARGIN = 1.035  # how much longer than the minimum duration one pass of the data set lasts


class DoubleEngine:
    """Answers a prompt with the reference's tokens, one at a time or all side by side."""

    def __init__(self, answers: dict[tuple[int, ...], list[int]], slots: int):
        self.tokens_generated = 0
        self.last_output_at = time.monotonic()
        self.answer_s = 0.0
        self._answers = answers
        self._slots = asyncio.Semaphore(slots)

    def load(self) -> None:
        """Nothing to load."""

    def abandon(self) -> bool:
        """No process of it is ever left."""
        return False

    def shutdown(self) -> None:
        """Nothing to end."""

    def state(self) -> None:
        """A double has no scheduler."""

    def gpus_elsewhere(self) -> list[Any]:
        """Nor another machine."""
        return []

    def processes_of_ray(self) -> list[int]:
        return []

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        tokens = self._answers[tuple(token_ids)]
        async with self._slots:
            if on_first_token is not None:
                await asyncio.sleep(self.answer_s / 10)
                on_first_token(tokens[:1])
            await asyncio.sleep(self.answer_s)
        self.tokens_generated += len(tokens)
        self.last_output_at = time.monotonic()
        return tokens


def engine_of(prepared: Prepared) -> DoubleEngine:
    """The double that knows the answer to every prompt of the data set."""
    data = prepared.dataset
    texts = [sample.reference or "" for sample in data.samples]
    answers = prepared.tokenizer(texts, add_special_tokens=False)["input_ids"]
    prompts = (tuple(sample.token_ids) for sample in data.samples)
    at_once = 64 if _is_server(prepared.config) else 1
    return DoubleEngine(dict(zip(prompts, answers, strict=True)), at_once)


def _is_server(settings: RunConfig) -> bool:
    return settings.scenario in (Scenario.SERVER, Scenario.INTERACTIVE)


def target_at_known_pace(choose: Callable[[ActiveRun], Target], run: ActiveRun) -> Target:
    """What `choose` makes of the pace that is set for the double in the performance test.

    The accuracy test before it takes no time, as its times count for nothing.
    """
    assert isinstance(run.engine, DoubleEngine)
    if (run.folder.accuracy / DETAIL_LOG).exists():
        pace = pace_of(run.config, run.prepared.min_duration_s)
        run.engine.answer_s = 0.1 if run.is_server else 1 / pace
        run.pace = Pace(pace, "the pace set for the double", 1.0)
    return choose(run)


def pace_of(settings: RunConfig, seconds: float) -> float:
    """Samples per second at which one pass of the data set lasts a little over `seconds`."""
    return settings.category_record.dataset_samples / (PASS_MARGIN * seconds)


def make_dataset(settings: RunConfig, tokenizer: Any) -> dataset.Dataset:
    """As many samples as the official set has, with summaries of the official length."""
    vocabulary = tokenizer.get_vocab()
    words = sorted(w[1:] for w in vocabulary if len(w) > 6 and w[0] == "Ġ" and w[1:].islower())
    words = [word for word in words if word.isascii() and word.isalpha()]
    chance = random.Random(0)
    texts = [_summary(chance, words) for _ in range(TEXTS)]
    count = settings.category_record.dataset_samples
    samples = tuple(
        dataset.Sample([1, 10 + index // 1000, 100 + index % 1000], texts[index % TEXTS])
        for index in range(count)
    )
    return dataset.Dataset("cnndm", samples, "made-up", None, DOUBLE, len(samples))


def _summary(chance: random.Random, words: Sequence[str]) -> str:
    text = ""
    while len(text) < CHARACTERS:
        sentence = " ".join(chance.choice(words) for _ in range(WORDS_A_SENTENCE))
        text += f"{sentence.capitalize()}. "
    return text[: CHARACTERS - 1].rstrip(" .") + "."


def prepare(settings: RunConfig) -> Prepared:
    """What preparation.prepare would find, had this machine the model, the articles and a GPU."""
    official = models.resolve_model(settings.with_values(weights="dummy"))
    tokenizer = load_tokenizer(models.resolve_model(settings.with_values(model="demo")))
    model = dataclasses.replace(official, source=DOUBLE, revision=OFFICIAL_MODEL_REVISION)
    data = make_dataset(settings, tokenizer)
    loadgen = release.installed(settings.loadgen_model)
    release.check(settings, loadgen)
    count = len(data)
    facts = RunFacts(
        sample_count=count,
        dataset_unofficial_because=None,
        model_unofficial_because=None,
        prefix_caching=False,
        loadgen_round=loadgen.round,
    )
    machine = dataclasses.replace(
        system_info.collect(),
        gpu_count=1,
        gpu_name="engine double",
        gpu_memory_bytes=80 << 30,
        driver_version="0.0",
        cuda_version="0.0",
        cpu="engine double",
        os="Linux",
        kernel=None,
        git_dirty=False,
    )
    purpose = Purpose(max_model_len=2668)
    place = profiles.Place("gpu")
    profile = profiles.choose(place, settings.precision, settings.scenario.value)
    planned = EnginePlan(
        config=settings,
        device="gpu",
        model=model,
        system=machine,
        purpose=purpose,
        place=place,
        profile=profile,
        settings=engine_settings(settings, model, "gpu", profile, purpose),
        environment={},
    )
    return Prepared(
        config=settings,
        plan=planned,
        sampling=sampling_of(settings, model),
        tokenizer=tokenizer,
        dataset=data,
        full_size=True,
        min_duration_s=config.min_duration_s(settings, count),
        needed_bytes=0,
        not_judged_because=None,
        departures=departures(settings, facts),
        loadgen_version=loadgen.version,
        loadgen_round=loadgen.round,
    )


def settings_of(arguments: Sequence[str] | None) -> RunConfig:
    """What a command line asks for. Raises UsageError."""
    parser = flags.Parser(__doc__ or "")
    scenarios = [scenario.value for scenario in Scenario]
    parser.add_argument("--scenario", choices=scenarios, default=RunConfig.scenario.value)
    parser.add_argument("--version", choices=tuple(ROUNDS), default=V5_1.name)
    parser.add_argument("--category", choices=CATEGORIES, default="datacenter")
    parser.add_argument(
        "--min-duration", type=command.above_zero, default=None, help="(default: the official 600)"
    )
    parser.add_argument(
        "--server-target-qps",
        type=command.above_zero,
        default=None,
        help="(default: the pace at which one pass of the data set lasts as long)",
    )
    parser.add_argument(
        "--compliance", type=flags.switch, default=None, help="(default: 1 in datacenter)"
    )
    parser.add_argument("--results-dir", required=True, metavar="FOLDER")
    values = parser.parse_args(arguments)
    datacenter = values.category == "datacenter"
    settings = RunConfig(
        version=values.version,
        category=values.category,
        scenario=Scenario(values.scenario),
        compliance=datacenter if values.compliance is None else values.compliance,
        results_dir=values.results_dir,
        min_duration_s=values.min_duration,
        tensor_parallel_size=1,
    )
    seconds = values.min_duration or settings.round.min_duration_s
    rate = values.server_target_qps or pace_of(settings, seconds)
    settings = settings.with_values(server_target_qps=rate)
    config.validate(settings)
    return settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes one run folder; the exit status is that of run.py."""
    prepared = prepare(settings_of(arguments))
    double: Any = engine_of(prepared)
    typed = ["python", "benchmarks/official_length.py", *(arguments or sys.argv[1:])]
    known = functools.partial(target_at_known_pace, performance.choose_target)
    with mock.patch.object(performance, "choose_target", known):
        return Series([prepared], typed, Terminal(), lambda *_: double).execute()[0]


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
