"""What a run is not, in a few words, and what to type next. Knows the flags that were used."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.command_line import with_flag, without_flag, without_flags
from harness.config import DEMO_MODEL, RunConfig
from harness.engine_args import beyond_tuning, field_name
from harness.rounds import OFFICIAL_MODEL
from harness.rules.departures import short_label
from harness.rules.rule import Rule, Step

# Flags that make a run unofficial; without them the defaults follow the rules.
_UNOFFICIAL_FLAGS = (
    "--total-sample-count",
    "--min-duration",
    "--max-new-tokens",
    "--high-accuracy",
)
EDGE_FILE = "sample_cnn_eval_5000.json"  # the official subset, REF/README.md:131-179
_SLOWER = 0.9  # a first step down in rate that usually clears a missed latency limit


def short_labels(config: dict[str, Any]) -> list[str]:
    """How the run departs from the rules, a few words each: "smoke run of 20 of 13,368 samples"."""
    ids = [departure["id"] for departure in config["departures"]]
    if "sample_count" in ids and "min_duration" in ids:
        ids.remove("min_duration")  # the smaller part of the same thing
    flags, samples = RunConfig.from_json(config["flags"]), config["resolved"]["sample_count"]
    return [short_label(name, flags, samples) for name in ids]


def next_steps(config: dict[str, Any], broken: Sequence[Rule]) -> list[Step]:
    """What to do after a run that broke these rules: each remedy once, the most useful first."""
    flags, run = config["flags"], config["run"]
    remedies: dict[str, str] = {}
    for rule in broken:
        if rule.remedy:
            remedies.setdefault(rule.remedy, rule.remedy_why or "")
    again = shlex.join(run["command"])
    if len(remedies) > 1:
        remedies.pop(again, None)  # a better command is there
    steps = [Step(why, command) for command, why in remedies.items()]
    if flags["model"] == DEMO_MODEL and run["status"] == "finished":
        steps.append(_speed_alone(flags))
    if broken:
        return steps
    folder = str(Path(flags["results_dir"]) / (run["name"] or "latest"))
    parts = ["python", "run.py", "--submission", "submission", "--submitter", "NAME", folder]
    return [
        Step(
            "A submission tree from this run and those of the other scenarios:", shlex.join(parts)
        ),
        Step("The same again, to see how steady the figure is:", again),
    ]


def repeat(config: dict[str, Any], why: str) -> Step:
    """The command of this run once more."""
    return Step(why, shlex.join(config["run"]["command"]))


def full_run(config: dict[str, Any]) -> Step:
    """A run that follows the rules; after the demo, a first look at the real model."""
    flags = config["flags"]
    if flags["model"] == DEMO_MODEL:
        place = [*_place(flags), "--model", OFFICIAL_MODEL, "--total-sample-count", "20"]
        return Step(
            "20 samples of the real model (needs a GPU with 24 GB or more, and access to the gated "
            "model: put HF_TOKEN into .env):",
            shlex.join(place),
        )
    why = "A full run by the rules:"
    if flags["weights"] == "dummy":
        why = "The same with the real weights (the model is gated: put HF_TOKEN into .env):"
    return Step(why, by_the_rules(config))


def _speed_alone(flags: dict[str, Any]) -> Step:
    return Step(
        "Without that access: the speed of a GPU, with random weights of the model's shape:",
        shlex.join(
            [
                *_place(flags),
                "--weights",
                "dummy",
                "--dataset",
                "synthetic",
                "--mode",
                "performance",
            ]
        ),
    )


def _place(flags: dict[str, Any]) -> list[str]:
    return ["python", "run.py", "--category", flags["category"], "--scenario", flags["scenario"]]


def lower_rate(config: dict[str, Any], target_qps: float | None) -> Step:
    """After a missed latency limit: a first step down that usually clears it."""
    why = "A lower rate; --server-target-qps max would look for the highest that holds:"
    if not target_qps:
        return repeat(config, "Lower the rate with --server-target-qps; this was the command:")
    rate = f"{_SLOWER * target_qps:.4g}"
    return Step(why, shlex.join(with_flag(config["run"]["command"], "--server-target-qps", rate)))


def longer(config: dict[str, Any]) -> Step:
    """After a test that ended too early because the speed was underestimated."""
    if config["flags"]["mode"] == "performance":
        return Step(
            "The same with an accuracy test before it, which is long enough to measure the speed:",
            shlex.join(with_flag(config["run"]["command"], "--mode", "both")),
        )
    return repeat(config, "The same again; the speed is measured afresh:")


def closer_answers(config: dict[str, Any]) -> Step:
    """After a missed accuracy gate."""
    if config["flags"]["precision"] == "fp8":
        why = "The same in bf16, to see whether fp8 is the cause:"
        return Step(why, shlex.join(with_flag(config["run"]["command"], "--precision", "bf16")))
    if config["departures"]:
        return full_run(config)
    return repeat(
        config,
        "The official model and data set should reach the gate in bf16: compare the vLLM version "
        "and the engine arguments with those of a run that did, and read a few answers. Then:",
    )


def by_the_rules(config: dict[str, Any]) -> str:
    """The command of this run without what makes it unofficial, and with what it lacks."""
    flags, command = config["flags"], list(config["run"]["command"])
    departures = {departure["id"] for departure in config["departures"]}
    command = without_flags(command, *_UNOFFICIAL_FLAGS)
    command = without_flag(command, "--engine-arg", _makes_unofficial)
    if flags["weights"] == "dummy":
        command = without_flag(command, "--weights")
    if "dataset" in departures:
        command = without_flags(command, "--dataset", "--dataset-path")
        if flags["category"] == "edge":  # a subset made here is not the official one
            command += ["--dataset-path", EDGE_FILE]
    if "model" in departures:
        command = without_flag(command, "--model")
    if flags["mode"] != "both":
        command = with_flag(command, "--mode", "both")
    if flags["category"] == "datacenter":
        command = with_flag(command, "--compliance", "1")
    return shlex.join(command)


def _makes_unofficial(engine_argument: str) -> bool:
    """Whether NAME=VALUE, as typed, is beyond what the rules are known to leave free."""
    name = field_name(engine_argument.partition("=")[0])
    return bool(beyond_tuning([name])) or "prefix" in name
