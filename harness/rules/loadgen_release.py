"""Rules on the LoadGen that ran: its release and its seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.language import joined, phrase
from harness.rounds import Seeds
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.needs import LOGS, Log
from harness.rules.rule import OFFICIAL, Finding, NextStep, failed, passed, rule
from harness.rules.validity import BUILT_UNCOMMITTED

SEEDS = tuple(field.name for field in dataclasses.fields(Seeds))


@rule(
    "loadgen-release",
    OFFICIAL,
    source="rules:462-464",
    required=lambda e: phrase("an unaltered LoadGen of v{round}", round=e.official.name),
    needs=LOGS,
)
def _release(evidence: Evidence, logs: list[Log]) -> Finding:
    releases, versions = evidence.official.loadgen_releases, list[str]()
    known = (*evidence.official.loadgen_releases_datacenter, *releases)
    install = evidence.official.loadgen_versions
    step = NextStep(
        phrase("The official LoadGen; then repeat the command:"), f"pip install {install}"
    )
    for name, log in (*logs, *_audited(evidence)):
        version = (log.loadgen_version or "").split(" ")[0]
        altered = log.uncommitted or any(e.startswith(BUILT_UNCOMMITTED) for e in log.errors)
        if version not in known or altered:
            what = (
                phrase("an altered LoadGen {version}", version=version)
                if altered
                else phrase("LoadGen {version}", version=version or phrase("unknown"))
            )
            text = phrase(
                "The {name} test ran with {what}. For v{round} it has to be an unaltered "
                "release ({releases}): pip install {install}.",
                name=name,
                what=what,
                round=evidence.official.name,
                releases=_listed(known),
                install=install,
            )
            return failed(what, text, step)
        versions.append(version)
    if name_missing := _unknown_name(evidence, versions):
        return failed(*name_missing, step)
    if len(set(versions)) > 1:
        both = joined(phrase(" and "), versions)
        text = phrase(
            "The tests ran with different releases of LoadGen ({both}), so they are not of one "
            "run. Run them with --mode both.",
            both=both,
        )
        return failed(both, text, full_run(evidence))
    return passed(versions[0])


def _audited(evidence: Evidence) -> list[Log]:
    """The log of the compliance test, which nobody publishes a figure of."""
    return [("TEST06", evidence.compliance_log)] if evidence.compliance_log else []


def _unknown_name(evidence: Evidence, versions: Sequence[str]) -> tuple[str, str] | None:
    """What is said of a release that lacks this run's model name; None: it has the name."""
    official = evidence.official
    name = official.loadgen_model(evidence.flags.category, evidence.scenario.value)
    lacking = [v for v in versions if v in official.loadgen_releases_datacenter]
    if not lacking or name == official.datacenter.loadgen_model:
        return None
    text = phrase(
        "LoadGen {version} has no settings for the model name {name}, which this run needs; "
        "it knows {known} alone. Use a release that has it ({releases}): pip install "
        "{versions}.",
        version=lacking[0],
        name=name,
        known=official.datacenter.loadgen_model,
        releases=_listed(official.loadgen_releases),
        versions=official.loadgen_versions,
    )
    return phrase("LoadGen {version} lacks {name}", version=lacking[0], name=name), text


def _listed(versions: tuple[str, ...]) -> str:
    return (
        ", ".join(versions)
        if len(versions) < 4
        else phrase("{first} to {last}", first=versions[0], last=versions[-1])
    )


@rule(
    "seeds",
    OFFICIAL,
    source="CHK/constants.py:1303-1308",
    required=lambda e: phrase("the three random seeds of v{round}", round=e.official.name),
    needs=LOGS,
    departure="loadgen_seeds",
)
def _seeds(evidence: Evidence, logs: list[Log]) -> Finding:
    official = evidence.official
    for test, log in (*logs, *_audited(evidence)):
        for seed in SEEDS:
            if getattr(log, seed) == getattr(official.seeds, seed):
                continue
            text = phrase(
                "LoadGen drew its queries from other random numbers than those of v{round} "
                "({seed} in the {test} log), so nobody else's result compares with this one. "
                "Install that round's LoadGen: pip install {versions}.",
                round=official.name,
                seed=seed,
                test=test,
                versions=official.loadgen_versions,
            )
            step = NextStep(
                phrase("The LoadGen of that round; then repeat the command:"),
                f"pip install {official.loadgen_versions}",
            )
            return failed(
                phrase(
                    "{seed} {value} in the {test} log",
                    seed=seed,
                    value=getattr(log, seed),
                    test=test,
                ),
                text,
                step,
            )
    return passed(
        phrase(
            "all three, {tests} log", tests=joined(phrase(" and "), [test for test, _log in logs])
        )
    )


RELEASE = (_release, _seeds)
