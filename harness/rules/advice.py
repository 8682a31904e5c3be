"""What a run is not, in a few words, and what to type next. Knows the flags that were used."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.command_line import with_flag, without_flag, without_flags
from harness.config import DEMO_MODEL, RunConfig
from harness.engine_args import beyond_tuning, field_name
from harness.rounds import OFFICIAL_MODEL
from harness.rules.departures import short_label
from harness.rules.evidence import Evidence
from harness.rules.rule import NextStep, Rule

# Flags that make a run unofficial; without them the defaults follow the rules.
_UNOFFICIAL_FLAGS = (
    "--total-sample-count",
    "--min-duration",
    "--max-new-tokens",
    "--high-accuracy",
)
EDGE_FILE = "sample_cnn_eval_5000.json"  # the official subset, REF/README.md:131-179
_SLOWER = 0.9  # a first step down in rate that usually clears a missed latency limit


def short_labels(evidence: Evidence) -> list[str]:
    """How the run departs from the rules, a few words each: "smoke run of 20 of 13,368 samples"."""
    ids = [departure.id for departure in evidence.departures]
    if "sample_count" in ids and "min_duration" in ids:
        ids.remove("min_duration")  # the smaller part of the same thing
    return [short_label(name, evidence.flags, evidence.sample_count) for name in ids]


def next_steps(evidence: Evidence, broken: Sequence[Rule]) -> list[NextStep]:
    """What to do after a run that broke these rules: each remedy once, the most useful first."""
    remedies: dict[str, str] = {}
    for rule in broken:
        if rule.remedy:
            remedies.setdefault(rule.remedy, rule.remedy_why or "")
    again = shlex.join(evidence.command)
    if len(remedies) > 1:
        remedies.pop(again, None)  # a better command is there
    steps = [NextStep(why, command) for command, why in remedies.items()]
    if evidence.flags.model == DEMO_MODEL and evidence.finished:
        steps.append(_speed_alone(evidence.flags))
    if broken:
        return steps
    name = evidence.config["run"]["name"] or "latest"
    folder = str(Path(evidence.flags.results_dir) / name)
    parts = ["python", "run.py", "--submission", "submission", "--submitter", "NAME", folder]
    return [
        NextStep(
            "A submission tree from this run and those of the other scenarios:", shlex.join(parts)
        ),
        NextStep("The same again, to see how steady the figure is:", again),
    ]


def repeat(evidence: Evidence, why: str = "The same again:") -> NextStep:
    """The command of this run once more."""
    return NextStep(why, shlex.join(evidence.command))


def full_run(evidence: Evidence) -> NextStep:
    """A run that follows the rules; after the demo, a first look at the real model."""
    flags = evidence.flags
    if flags.model == DEMO_MODEL:
        place = [*_place(flags), "--model", OFFICIAL_MODEL, "--total-sample-count", "20"]
        return NextStep(
            "20 samples of the real model (needs a GPU with 24 GB or more, and access to the gated "
            "model: put HF_TOKEN into .env):",
            shlex.join(place),
        )
    why = "A full run by the rules:"
    if flags.weights == "dummy":
        why = "The same with the real weights (the model is gated: put HF_TOKEN into .env):"
    return NextStep(why, by_the_rules(evidence))


def _speed_alone(flags: RunConfig) -> NextStep:
    random_weights = ["--weights", "dummy", "--dataset", "synthetic", "--mode", "performance"]
    return NextStep(
        "Without that access: the speed of a GPU, with random weights of the model's shape:",
        shlex.join([*_place(flags), *random_weights]),
    )


def _place(flags: RunConfig) -> list[str]:
    return ["python", "run.py", "--category", flags.category, "--scenario", flags.scenario.value]


def lower_rate(evidence: Evidence, target_qps: float | None) -> NextStep:
    """After a missed latency limit: a first step down that usually clears it."""
    if not target_qps:
        return repeat(evidence, "Lower the rate with --server-target-qps; this was the command:")
    rate = f"{_SLOWER * target_qps:.4g}"
    return NextStep(
        "A lower rate; --server-target-qps max would look for the highest that holds:",
        shlex.join(with_flag(evidence.command, "--server-target-qps", rate)),
    )


def longer(evidence: Evidence) -> NextStep:
    """After a test that ended too early because the speed was underestimated."""
    if evidence.flags.mode == "performance":
        return NextStep(
            "The same with an accuracy test before it, which is long enough to measure the speed:",
            shlex.join(with_flag(evidence.command, "--mode", "both")),
        )
    return repeat(evidence, "The same again; the speed is measured afresh:")


def closer_answers(evidence: Evidence) -> NextStep:
    """After a missed accuracy gate."""
    if evidence.flags.precision == "fp8":
        why = "The same in bf16, to see whether fp8 is the cause:"
        return NextStep(why, shlex.join(with_flag(evidence.command, "--precision", "bf16")))
    if evidence.departures:
        return full_run(evidence)
    return repeat(
        evidence,
        "The official model and data set should reach the gate in bf16: compare the vLLM version "
        "and the engine arguments with those of a run that did, and read a few answers. Then:",
    )


def by_the_rules(evidence: Evidence) -> str:
    """The command of this run without what makes it unofficial, and with what it lacks."""
    flags = evidence.flags
    departures = {departure.id for departure in evidence.departures}
    command = without_flags(evidence.command, *_UNOFFICIAL_FLAGS)
    command = without_flag(command, "--engine-arg", _makes_unofficial)
    if flags.weights == "dummy":
        command = without_flag(command, "--weights")
    if "dataset" in departures:
        command = without_flags(command, "--dataset", "--dataset-path")
        if flags.category == "edge":  # a subset made here is not the official one
            command += ["--dataset-path", EDGE_FILE]
    if "model" in departures:
        command = without_flag(command, "--model")
    if flags.mode != "both":
        command = with_flag(command, "--mode", "both")
    if flags.category == "datacenter":
        command = with_flag(command, "--compliance", "1")
    return shlex.join(command)


def _makes_unofficial(engine_argument: str) -> bool:
    """Whether NAME=VALUE, as typed, is beyond what the rules are known to leave free."""
    name = field_name(engine_argument.partition("=")[0])
    return bool(beyond_tuning([name])) or "prefix" in name
