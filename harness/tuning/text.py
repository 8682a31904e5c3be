"""A search for settings in words: the plan before it begins, a line for each trial, the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness import formatting, tables
from harness.engine.profiles import Profile
from harness.language import joined, phrase
from harness.tuning.search import Plan, Trial, best, changed, expected_s, key

NOTHING_CHANGED = phrase("the profile's settings")
WIDEST_CHANGE = 64  # columns


def plan_lines(
    plan: Plan, profile: Profile, trials: Sequence[Trial], minutes: float
) -> Iterator[str]:
    """What will be tried, why, and how long it may take."""
    done, each_s = len(trials), expected_s(plan, trials)
    known = phrase("as the longest so far") if trials else phrase("a guess, until one was timed")
    earlier = phrase(", {count} of them recorded earlier", count=done) if done else ""
    yield phrase(
        "tuning: at most {count} trials{earlier}; about {duration} each ({known}); {minutes:g} min "
        "are allowed",
        count=plan.most_trials, earlier=earlier, duration=formatting.duration(each_s),
        known=known, minutes=minutes,
    )  # fmt: skip
    yield phrase(
        "  from {profile}: {settings}", profile=profile.name, settings=changed(plan.base, {})
    )
    for variation in plan.variations:
        options = [changed(s, plan.base) for s in plan.candidates(variation, plan.base)]
        if options:
            yield joined("", ("  ", variation.name, " (", variation.why, "):"))
            yield from (f"    {option}" for option in options)
    yield phrase(
        "  a change is kept when it is better by more than {percent:g} %", percent=100 * plan.noise
    )


def trial_line(plan: Plan, trial: Trial, number: int) -> str:
    """'trial 2: max_num_seqs=1536: 7,402 tokens/s (3 min 4 s)'."""
    result = (
        phrase("failed: {why}", why=trial.failure)
        if trial.score is None
        else formatting.rate(trial.score, plan.goal.unit)
    )
    what = changed(trial.settings, plan.base) or NOTHING_CHANGED
    return phrase(
        "trial {number}: {what}: {result} ({duration})",
        number=number, what=what, result=result, duration=formatting.duration(trial.seconds),
    )  # fmt: skip


def table(plan: Plan, trials: Sequence[Trial]) -> str:
    """All trials, the best marked, each with what it changes of the profile's settings."""
    chosen = best(plan, trials)
    start = next((t.score for t in trials if key(t.settings) == key(plan.base)), None)
    rows = [
        (
            "",
            plan.goal.unit,
            phrase("against the profile"),
            phrase("took"),
            phrase("what was changed"),
        )
    ]
    for trial in trials:
        against = "-"
        if trial.score is not None and start is not None and key(trial.settings) != key(plan.base):
            against = f"{100 * plan.goal.gain(trial.score, start):+.1f} %"
        score = phrase("failed") if trial.score is None else f"{trial.score:,.1f}"
        took = formatting.duration(trial.seconds)
        what = changed(trial.settings, plan.base) or NOTHING_CHANGED
        rows.append(
            (phrase("best") if trial is chosen else "", score, against, took, _shortened(what))
        )
        if trial.failure:
            rows.append(("", "", "", "", joined("", ("  ", trial.failure))))
    return joined("\n", tables.text_lines(rows, right_aligned=(1, 2, 3)))


def _shortened(text: str) -> str:
    return text if len(text) <= WIDEST_CHANGE else text[: WIDEST_CHANGE - 3] + "..."
