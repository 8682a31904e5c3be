"""What a command of several runs says: a line after each, and one ending for all."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import tables
from harness.command_line import with_flag
from harness.config import Scenario
from harness.flags import ALL_SCENARIOS
from harness.language import joined, phrase, translated
from harness.report import pages
from harness.results.folder import RunFolder
from harness.rules.rule import FAILED, VALIDITY
from harness.rules.verdict import INVALID, NOT_FINISHED, OFFICIAL_READY, UNOFFICIAL

_WORST_FIRST = (NOT_FINISHED, INVALID, UNOFFICIAL, OFFICIAL_READY)


@dataclass(frozen=True)
class Run:
    """One run of a series: its folder, and what summary.json holds."""

    scenario: str  # as people write it
    folder: Path
    summary: dict[str, Any] | None  # None: no report could be made

    @property
    def verdict(self) -> str:
        """OFFICIAL-READY and so on; FAILED without a report."""
        return str(self.summary["verdict"]["result"]) if self.summary else NOT_FINISHED

    @property
    def result(self) -> str:
        """Its one figure."""
        if self.summary is None:
            return phrase("no report")
        text: str = self.summary["headline"]["text"]
        return text


def line(summary: dict[str, Any]) -> str:
    """What is said between one run and the next."""
    meta = summary["meta"]
    run = Run(Scenario(meta["scenario"]).label, Path(meta["results_dir"]) / meta["name"], summary)
    report = RunFolder(run.folder).report_md
    return joined("", (f"{run.scenario}: ", run.result, f", {run.verdict} ({report})"))


def ending(runs: Sequence[Run], not_begun: Sequence[str] = (), page: Path | None = None) -> str:
    """A table of all runs, why they are not official, what to type next, and the worst of it.

    `not_begun` are the scenarios that an interrupt left out; `page` shows all runs.
    """
    heads = (phrase("scenario"), phrase("result"), phrase("verdict"), phrase("run folder"))
    rows = [tuple[str, ...](heads)]
    rows += [(run.scenario, run.result, run.verdict, str(run.folder)) for run in runs]
    lines = [*tables.text_lines(rows), ""]
    for scenarios, sentence in reasons(runs):
        lines += pages.wrapped(joined(": ", (scenarios, sentence)), "  - ", "    ")
    if step := _next(runs, all_begun=not not_begun):
        why, command = step
        lines += [
            "",
            *pages.wrapped(phrase("next: {step}", step=why), "  ", "  "),
            f"    {command}",
            "",
        ]
    if page:
        lines += [translated(phrase("All runs on one page: {page}", page=page)), ""]
    return "\n".join([*lines, translated(last_line(runs, not_begun))])


def reasons(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Each broken rule's sentence once, with its scenarios; what makes a run INVALID first."""
    scenarios: dict[tuple[bool, str], list[str]] = {}
    for run in runs:
        for rule in (run.summary or {"verdict": {"rules": []}})["verdict"]["rules"]:
            if rule["outcome"] == FAILED:
                reason = (rule["kind"] != VALIDITY, rule["sentence"])
                scenarios.setdefault(reason, []).append(run.scenario)
    for reason in sorted(scenarios, key=lambda reason: reason[0]):
        yield ", ".join(scenarios[reason]), reason[1]


def _next(runs: Sequence[Run], *, all_begun: bool) -> tuple[str, str] | None:
    """What to do after the worst of the runs: for all of these at once where that is the same."""
    if all_begun and all(run.verdict == OFFICIAL_READY for run in runs):
        folders = [str(run.folder) for run in runs]
        words = ["python", "run.py", "--submission", "submission", "--submitter", "NAME", *folders]
        return phrase("The tree that MLCommons takes, of these runs:"), shlex.join(words)
    verdict = next(name for name in _WORST_FIRST if any(run.verdict == name for run in runs))
    worst = [run.summary for run in runs if run.verdict == verdict and run.summary]
    steps = [step for summary in worst for step in summary["next_steps"][:1] if step["command"]]
    if not steps:
        return None
    commands = {_for_all(step["command"]) for step in steps}
    together = len(steps) > 1 and len(commands) == 1
    return steps[0]["why"], commands.pop() if together else steps[0]["command"]


def _for_all(command: str) -> str:
    words = shlex.split(command)
    if words[:2] != ["python", "run.py"]:
        return command
    return shlex.join(with_flag(words, "--scenario", ALL_SCENARIOS))


def last_line(runs: Sequence[Run], not_begun: Sequence[str] = ()) -> str:
    """How many runs are what, the worst first."""
    parts: list[str] = []
    for verdict in _WORST_FIRST:
        those = [run.scenario for run in runs if run.verdict == verdict]
        if len(those) == len(runs) > 0 and not not_begun:
            return phrase("All {count} runs are {verdict}.", count=len(runs), verdict=verdict)
        if those:
            parts.append(f"{verdict}: {', '.join(those)}")
    if not_begun:
        parts.insert(0, phrase("not begun: {scenarios}", scenarios=", ".join(not_begun)))
    count = len(runs) + len(not_begun)
    return phrase("Of {count} runs: {parts}.", count=count, parts=joined("; ", parts))
