"""The rule on user.conf: a submission shows it, so it has to be what LoadGen was given."""

from __future__ import annotations

import math
import re

from harness.language import phrase
from harness.loadgen.planning import Target
from harness.loadgen.user_conf import user_conf_text
from harness.logs.detail import number
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.needs import FULL_PERFORMANCE
from harness.rules.rule import OFFICIAL, Finding, failed, passed, rule
from harness.rules.validity import PerformanceTest

# What LoadGen's log calls the target of user.conf, and its unit there.
_TARGETS = {
    "Offline": ("offline_expected_qps", 1.0),
    "Server": ("server_target_qps", 1.0),
    "SingleStream": ("single_stream_expected_latency_ns", 1e6),
}


@rule(
    "user-conf",
    OFFICIAL,
    source="CHK/constants.py:2029-2195",
    required=phrase("user.conf is what LoadGen was given"),
    needs=FULL_PERFORMANCE,
)
def _user_conf(evidence: Evidence, _test: PerformanceTest) -> Finding:
    if evidence.user_conf is None:
        text = phrase("There is no user.conf in the run folder. Run it again.")
        return failed(phrase("no user.conf"), text, full_run(evidence))
    if is_of_run(evidence, evidence.user_conf):
        return passed(phrase("it is"))
    text = phrase(
        "The user.conf in the run folder is not what a run of these settings gives LoadGen, or its "
        "target is not that in LoadGen's log. Run it again."
    )
    return failed(phrase("another user.conf"), text, full_run(evidence))


def is_of_run(evidence: Evidence, text: str) -> bool:
    """Whether a user.conf is what the run wrote, with the target that LoadGen's log has."""
    figures = re.findall(r"^\*\.\w+\.target_(qps|latency) = ([\d.e+-]+)$", text, re.MULTILINE)
    try:
        ((kind, figure),) = figures
        value = float(figure)
    except ValueError:
        return False
    target = Target(
        "user.conf",
        evidence.sample_count,
        0,
        qps=value if kind == "qps" else None,
        latency_ms=value if kind == "latency" else None,
    )
    written = user_conf_text(
        evidence.flags,
        sample_count=evidence.sample_count,
        min_duration_s=evidence.config["resolved"]["min_duration_s"],
        target=target,
    )
    if text != written or evidence.performance is None:
        return False
    key, unit = _TARGETS.get(evidence.performance.scenario, ("", 1.0))
    logged = number(evidence.performance.loadgen.requested, key)
    # LoadGen logs six digits.
    return logged is not None and math.isclose(value * unit, logged, rel_tol=1e-5)


USER_CONF = (_user_conf,)
