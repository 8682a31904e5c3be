"""What a run is not, in a few words, and what to type next. Knows the flags that were used."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import formatting
from harness.config import DEMO_MODEL
from harness.metrics import AccuracyResult, PerformanceResult
from harness.rounds import OFFICIAL_MODEL, ROUNDS

_LABELS = {
    "weights": "random weights",
    "prefix_caching": "prefix caching on",
    "loadgen_seeds": "another round's seeds",
    "high_accuracy": "a gate of our own (99.9 %)",
    "no_accuracy": "no accuracy test",
    "no_performance": "no performance test",
}
# Flags that make a run unofficial; without them the defaults follow the rules.
_UNOFFICIAL_FLAGS = (
    "--total-sample-count",
    "--min-duration",
    "--max-new-tokens",
    "--high-accuracy",
)
_SLOWER = 0.9  # a first step down in rate that usually clears a missed latency limit


@dataclass(frozen=True)
class Step:
    """One thing to do next and, where there is one, the command for it."""

    why: str
    command: str | None = None


def short_labels(config: dict[str, Any]) -> list[str]:
    """How the run departs from the rules, a few words each: "smoke run of 20 of 13,368 samples"."""
    ids = [departure["id"] for departure in config["departures"]]
    if "sample_count" in ids and "min_duration" in ids:
        ids.remove("min_duration")  # the smaller part of the same thing
    return [_label(name, config) for name in ids]


def _label(name: str, config: dict[str, Any]) -> str:
    flags, resolved = config["flags"], config["resolved"]
    if name == "sample_count":
        record = ROUNDS[flags["version"]].category(flags["category"])
        full = formatting.count(record.dataset_samples)
        return f"smoke run of {formatting.count(resolved['sample_count'])} of {full} samples"
    if name == "min_duration":
        return f"minimum duration {formatting.duration(resolved['min_duration_s'])}"
    if name == "model":
        return "demo model" if flags["model"] == DEMO_MODEL else "not the official model"
    if name == "dataset":
        return f"data set {config['dataset']['name']}"
    if name == "max_new_tokens":
        return f"answers of at most {flags['max_new_tokens']} tokens"
    return _LABELS.get(name, name.replace("_", " "))


def next_steps(
    config: dict[str, Any],
    performance: PerformanceResult | None,
    accuracy: AccuracyResult | None,
) -> list[Step]:
    """What to do after this run, the most useful first."""
    flags, command = config["flags"], config["run"]["command"]
    if config["run"]["status"] != "finished":
        return [
            Step(
                "The reason is at the top of this report and at the end of run.log. "
                "Mend it, then repeat the command:",
                shlex.join(command),
            )
        ]
    if flags["model"] == DEMO_MODEL:
        return _after_the_demo(flags)
    if flags["weights"] == "dummy":
        return [
            Step(
                "The same with the real weights (the model is gated: put HF_TOKEN into .env):",
                by_the_rules(config),
            )
        ]
    steps = []
    if performance and not performance.valid:
        steps.append(_after_invalid(config, performance))
    if accuracy and accuracy.passed is False:
        steps.append(_after_missed_gate(config))
    if not steps and config["departures"]:
        least = formatting.duration(ROUNDS[flags["version"]].min_duration_s)
        why = f"A full run by the rules: accuracy and performance, all samples, at least {least}:"
        steps.append(Step(why, by_the_rules(config)))
    if not steps:
        why = "Nothing checked so far stands in its way. Repeat it to see how steady the figure is:"
        steps.append(Step(why, shlex.join(command)))
    return steps


def _after_the_demo(flags: dict[str, Any]) -> list[Step]:
    place = ["python", "run.py", "--category", flags["category"], "--scenario", flags["scenario"]]
    return [
        Step(
            "20 samples of the real model (needs a GPU with 24 GB or more, and access to the gated "
            "model: put HF_TOKEN into .env):",
            shlex.join([*place, "--model", OFFICIAL_MODEL, "--total-sample-count", "20"]),
        ),
        Step(
            "Without that access: the speed of a GPU, with random weights of the model's shape:",
            shlex.join(
                [*place, "--weights", "dummy", "--dataset", "synthetic", "--mode", "performance"]
            ),
        ),
    ]


def _after_invalid(config: dict[str, Any], performance: PerformanceResult) -> Step:
    command = config["run"]["command"]
    results = performance.loadgen.results
    if results.get("result_perf_constraints_met") is False and performance.target_qps:
        rate = f"{_SLOWER * performance.target_qps:.4g}"
        return Step(
            "The latency limits were missed. A lower rate (or `--server-target-qps max`, which "
            "finds the highest valid one):",
            replace_flag(command, "--server-target-qps", rate),
        )
    if results.get("result_min_duration_met") is False and config["flags"]["mode"] == "performance":
        return Step(
            "The test ended too early because the speed was underestimated. With `--mode both` the "
            "estimate comes from the accuracy test, which is longer:",
            replace_flag(command, "--mode", "both"),
        )
    if results.get("result_min_duration_met") is False:
        return Step("The test ended too early; the speed is estimated afresh:", shlex.join(command))
    if results.get("early_stopping_met") is False and not config["resolved"]["full_size"]:
        return Step(
            "Too few queries to prove a percentile; a full run has enough:", by_the_rules(config)
        )
    return Step("Mend what the verdict names, then repeat the command:", shlex.join(command))


def _after_missed_gate(config: dict[str, Any]) -> Step:
    flags, command = config["flags"], config["run"]["command"]
    if flags["high_accuracy"]:
        why = "The gate of 99.9 % is not an official one; judge at 99 %:"
        return Step(why, replace_flag(command, "--high-accuracy", "0"))
    if flags["precision"] == "fp8":
        why = "The answers are too far from the reference. See whether fp8 is the cause:"
        return Step(why, replace_flag(command, "--precision", "bf16"))
    if config["departures"]:
        why = "The gate is meant for the official model, data set and lengths; with those:"
        return Step(why, by_the_rules(config))
    return Step(
        "The official model and data set should reach the gate in bf16: compare the vLLM version "
        "and the engine arguments with those of a run that did, and read a few answers. Then:",
        shlex.join(command),
    )


def by_the_rules(config: dict[str, Any]) -> str:
    """The command of this run without the flags that make it unofficial."""
    command: Sequence[str] = config["run"]["command"]
    departures = {departure["id"] for departure in config["departures"]}
    for flag in _UNOFFICIAL_FLAGS:
        command = without_flag(command, flag)
    command = without_flag(command, "--engine-arg", "enable_prefix_caching")
    if config["flags"]["weights"] == "dummy":
        command = without_flag(command, "--weights")
    if "dataset" in departures and config["flags"]["dataset"] != "cnndm":
        command = without_flag(command, "--dataset")
    if "model" in departures:
        command = without_flag(command, "--model")
    if config["flags"]["mode"] != "both":
        return replace_flag(command, "--mode", "both")
    return shlex.join(command)


def replace_flag(command: Sequence[str], flag: str, value: str) -> str:
    """The command with a flag set to a value, wherever and however it was given before."""
    return shlex.join([*without_flag(command, flag), flag, value])


def without_flag(command: Sequence[str], flag: str, value_prefix: str = "") -> list[str]:
    """The command without `--flag value`, `--flag=value` or a bare `--flag`.

    A flag that can be repeated goes only where its value begins with `value_prefix`.
    """
    kept, position = list[str](), 0
    while position < len(command):
        word = command[position]
        name, equals, value = word.partition("=")
        length = 1
        if name == flag and not equals and position + 1 < len(command):
            value = command[position + 1]
            length = 1 if value.startswith("--") else 2
        if name != flag or not value.startswith(value_prefix):
            kept += command[position : position + length]
        position += length
    return kept
