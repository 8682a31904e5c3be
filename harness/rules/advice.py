"""What a run is not, in a few words, and what to type next. Knows the flags that were used."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness import formatting
from harness.command_line import with_flag, without_flag, without_flags
from harness.config import STAND_INS, RunConfig, Scenario
from harness.engine_args import beyond_tuning, field_name
from harness.language import phrase
from harness.rounds import OFFICIAL_MODEL
from harness.rules.departures import KINDS, RunFacts, departures, short_label
from harness.rules.enough_samples import SMOKE_SAMPLES
from harness.rules.evidence import Evidence
from harness.rules.proposal import propose, too_few_queries
from harness.rules.rule import NextStep, Rule
from harness.rules.validity import PerformanceTest

# Flags that make a run unofficial; without them the defaults follow the rules.
_UNOFFICIAL_FLAGS = (
    "--total-sample-count",
    "--min-duration",
    "--max-new-tokens",
    "--high-accuracy",
)
EDGE_FILE = "sample_cnn_eval_5000.json"  # the official subset, REF/README.md:131-179


def short_labels(evidence: Evidence) -> list[str]:
    """How the run departs from the rules, a few words each: "smoke run of 20 of 13,368 samples"."""
    recorded = {departure.id for departure in evidence.departures} | _by_its_flags(evidence)
    known = [kind.id for kind in KINDS]
    ids = [name for name in known if name in recorded]
    ids += sorted(recorded - set(known))  # of another version
    if "sample_count" in ids and "min_duration" in ids:
        ids.remove("min_duration")  # the smaller part of the same thing
    return [short_label(name, evidence.flags, evidence.sample_count) for name in ids]


def _by_its_flags(evidence: Evidence) -> set[str]:
    """The departures that its flags, model and data set tell, whatever the record lists.

    What its engine and LoadGen were is left to that list, and to the rules.
    """
    config, flags = evidence.config, evidence.flags
    facts = RunFacts(
        evidence.sample_count,
        config["dataset"]["unofficial_because"],
        config["model"]["unofficial_because"],
        prefix_caching=False,
        loadgen_round=flags.round.name,
        unusual_engine_args=beyond_tuning(flags.engine_args),
    )
    return {departure.id for departure in departures(flags, facts)}


def next_steps(evidence: Evidence, broken: Sequence[Rule]) -> list[NextStep]:
    """What to do after a run that broke these rules: each remedy once, the most useful first."""
    if not broken:
        return [
            _other_scenario(evidence),
            repeat(evidence, phrase("The same again, to see how steady:")),
        ]
    remedies: dict[str, str] = {}
    for rule in broken:
        if rule.remedy:
            remedies.setdefault(rule.remedy, rule.remedy_why or "")
    if len(remedies) > 1:
        remedies.pop(shlex.join(evidence.command), None)  # a better command is there
    steps = [NextStep(why, command) for command, why in remedies.items()]
    if evidence.flags.model in STAND_INS and evidence.finished:
        steps.append(_speed_alone(evidence))
    return steps


def _other_scenario(evidence: Evidence) -> NextStep:
    """After a run that keeps every rule: a submission needs one of another scenario, too."""
    offline = evidence.scenario is not Scenario.OFFLINE
    edge = evidence.flags.category == "edge"
    other = "offline" if offline else "singlestream" if edge else "server"
    return propose(
        evidence,
        phrase(
            "The other scenario that a submission needs; then python run.py --submission OUT "
            "--submitter NAME with the folders of both:"
        ),
        with_flag(evidence.command, "--scenario", other),
    )


def unchanged(evidence: Evidence, why: str) -> NextStep:
    """The command of this run as it was typed, after one that has measured nothing."""
    return NextStep(why, shlex.join(evidence.command))


def repeat(evidence: Evidence, why: str = phrase("The same again:")) -> NextStep:
    """The command of this run once more, with what it lacked to be VALID."""
    return propose(evidence, why, evidence.command)


def more_proof(evidence: Evidence, test: PerformanceTest) -> NextStep:
    """After a test whose queries do not prove the percentile."""
    if too_few_queries(test):
        return repeat(evidence)
    if test.limits is None:
        return full_run(evidence)
    return lower_rate(evidence, test.result.target_qps)


def full_run(evidence: Evidence) -> NextStep:
    """A run that follows the rules; after one of a stand-in, a first look at the real model."""
    flags = evidence.flags
    if flags.model in STAND_INS:
        samples = SMOKE_SAMPLES[flags.scenario]
        words = [*_place(flags), "--model", OFFICIAL_MODEL, "--total-sample-count", f"{samples}"]
        return propose(
            evidence,
            phrase(
                "{samples} samples of the real model (needs a GPU with 24 GB or more, and access "
                "to the gated model: put HF_TOKEN into .env):",
                samples=formatting.count(samples),
            ),
            words,
        )
    why = phrase("A full run by the rules:")
    if flags.weights == "dummy":
        why = phrase("The same with the real, gated weights; HF_TOKEN in .env opens them:")
    return propose(evidence, why, by_the_rules(evidence))


def _speed_alone(evidence: Evidence) -> NextStep:
    random_weights = ["--weights", "dummy", "--dataset", "synthetic", "--mode", "performance"]
    return propose(
        evidence,
        phrase(
            "Without that access: the speed of a GPU, with random weights of the model's shape:"
        ),
        [*_place(evidence.flags), *random_weights],
    )


def _place(flags: RunConfig) -> list[str]:
    return ["python", "run.py", "--category", flags.category, "--scenario", flags.scenario.value]


def lower_rate(evidence: Evidence, target_qps: float | None) -> NextStep:
    """After a missed latency limit: a first step down that usually clears it."""
    if not target_qps:
        return repeat(
            evidence, phrase("Lower the rate with --server-target-qps; this was the command:")
        )
    why = phrase("A lower rate; --server-target-qps max would look for the highest that holds:")
    return propose(evidence, why, evidence.command, says_the_rate=True)


def longer(evidence: Evidence) -> NextStep:
    """After a test that ended too early because the speed was underestimated."""
    if evidence.flags.mode == "performance":
        return propose(
            evidence,
            phrase(
                "The same with an accuracy test before it, which is long enough to measure the "
                "speed:"
            ),
            with_flag(evidence.command, "--mode", "both"),
        )
    return repeat(evidence, phrase("The same again; the speed is measured afresh:"))


def closer_answers(evidence: Evidence) -> NextStep:
    """After a missed accuracy gate."""
    if evidence.flags.precision == "fp8":
        why = phrase("The same in bf16, to see whether fp8 is the cause:")
        return propose(evidence, why, with_flag(evidence.command, "--precision", "bf16"))
    if evidence.departures:
        return full_run(evidence)
    return repeat(
        evidence,
        phrase(
            "The official model and data set should reach the gate in bf16: compare the vLLM "
            "version and the engine arguments with those of a run that did, and read a few "
            "answers. Then:"
        ),
    )


def by_the_rules(evidence: Evidence) -> list[str]:
    """The command of this run without what makes it unofficial, and with what it lacks."""
    flags = evidence.flags
    departures = {departure.id for departure in evidence.departures}
    command = without_flags(evidence.command, *_UNOFFICIAL_FLAGS)
    command = without_flag(command, "--engine-arg", _makes_unofficial)
    if flags.weights == "dummy":
        command = without_flags(command, "--weights")
        if flags.model_repo != OFFICIAL_MODEL:  # a folder may hold no more than a config.json
            command = without_flags(command, "--model")
    if "dataset" in departures:
        command = without_flags(command, "--dataset", "--dataset-path")
        if flags.category == "edge":  # a subset made here is not the official one
            command += ["--dataset-path", EDGE_FILE]
    if "model" in departures:
        command = without_flag(command, "--model")
    if departures & {"dataset", "sample_count", "model"}:  # the prompts may be longer
        command = without_flag(command, "--max-model-len")
    if flags.mode != "both":
        command = with_flag(command, "--mode", "both")
    if flags.category == "datacenter":
        command = with_flag(command, "--compliance", "1")
    return command


def _makes_unofficial(engine_argument: str) -> bool:
    """Whether NAME=VALUE, as typed, is beyond what the rules are known to leave free."""
    name = field_name(engine_argument.partition("=")[0])
    return bool(beyond_tuning([name])) or "prefix" in name
