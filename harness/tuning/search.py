"""Which engine settings a search for the fastest ones tries next, and what it keeps.

Pure decisions. The search makes one variation after the other: each varies one thing of the best
settings so far, and a change is kept only when it beats them by more than chance does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Settings = Mapping[str, Any]  # engine arguments, as a profile names them

# The same measurement twice differs by less: on a GPU of its own, and on shared CPU cores.
NOISE = {"gpu": 0.01, "cpu": 0.05}
# What one trial takes before any was timed: loading, compiling anew, warm-up, measurement.
FIRST_GUESS_S = {"gpu": 240.0, "cpu": 60.0}


@dataclass(frozen=True)
class Variation:
    """One thing to vary. `changes` are made to the best settings so far."""

    name: str
    why: str
    changes: Callable[[Settings], Sequence[Settings]]


@dataclass(frozen=True)
class Goal:
    """What a trial's score counts."""

    unit: str
    more_is_better: bool

    def gain(self, score: float, than: float) -> float:
        """How much better `score` is, as a share: 0.02 is 2 % more speed."""
        return score / than - 1 if self.more_is_better else than / score - 1


TOKENS_PER_SECOND = Goal("tokens/s", more_is_better=True)
LATENCY = Goal("ms", more_is_better=False)


@dataclass(frozen=True)
class Plan:
    """A search: where it starts and what it may change."""

    base: Settings  # the profile's
    variations: tuple[Variation, ...]
    goal: Goal
    noise: float  # a share
    first_guess_s: float  # of one trial
    fixed: frozenset[str] = frozenset()  # arguments the user gave, which no trial may touch

    def candidates(self, variation: Variation, best: Settings) -> list[dict[str, Any]]:
        """The settings that a variation tries, given the best before it."""
        allowed = (change for change in variation.changes(best) if not self.fixed & change.keys())
        changed = [merged(best, change) for change in allowed]
        return [settings for settings in changed if key(settings) != key(best)]

    @property
    def most_trials(self) -> int:
        """How many trials there are to make; a kept change can add or save a few."""
        return 1 + sum(len(self.candidates(variation, self.base)) for variation in self.variations)

    @property
    def most_sequences(self) -> int:
        """The most sequences that any trial has: all trials are measured on as many prompts."""
        tried = [
            settings
            for variation in self.variations
            for settings in self.candidates(variation, self.base)
        ]
        return max(int(settings["max_num_seqs"]) for settings in [self.base, *tried])


@dataclass(frozen=True)
class Trial:
    """One loaded engine and what it scored."""

    settings: Settings
    seconds: float  # loading, warm-up and measurement
    score: float | None  # in the goal's unit; None: it failed
    failure: str | None = None  # why it did not count
    details: Mapping[str, float] = field(default_factory=dict)  # what the score was taken from

    def to_json(self) -> dict[str, Any]:
        """Every field under its own name."""
        return asdict(self)


def key(settings: Settings) -> str:
    """The same for the same settings, whatever their order."""
    return json.dumps(settings, sort_keys=True)


def merged(settings: Settings, change: Settings) -> dict[str, Any]:
    """Settings with a change; an argument that is an object keeps its other members."""
    result = dict(settings)
    for name, value in change.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = {**old, **value}
        result[name] = value
    return result


def next_settings(plan: Plan, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The next settings to try; None: the search is over."""
    return _follow(plan, trials)[1]


def best(plan: Plan, trials: Sequence[Trial]) -> Trial | None:
    """The best trial so far, by the rule that keeps changes; None: none has worked."""
    champion, _ = _follow(plan, trials)
    return champion if champion is not None and champion.score is not None else None


def _follow(plan: Plan, trials: Sequence[Trial]) -> tuple[Trial | None, dict[str, Any] | None]:
    """Goes the way of the search as far as it has been tried: the best, and what comes next.

    Following it anew each time is what makes a search resumable: the trials are all its state.
    """
    known = {key(trial.settings): trial for trial in trials}
    champion = known.get(key(plan.base))
    if champion is None:
        return None, dict(plan.base)
    for variation in plan.variations:
        for settings in plan.candidates(variation, champion.settings):
            trial = known.get(key(settings))
            if trial is None:
                return _better(plan, champion, _tried(plan, variation, champion, known)), settings
        champion = _better(plan, champion, _tried(plan, variation, champion, known))
    return champion, None


def _tried(
    plan: Plan, variation: Variation, before: Trial, known: Mapping[str, Trial]
) -> list[Trial]:
    keys = map(key, plan.candidates(variation, before.settings))
    return [known[settings] for settings in keys if settings in known]


def _better(plan: Plan, champion: Trial, tried: Sequence[Trial]) -> Trial:
    for trial in tried:
        if beats(plan, trial, champion):
            champion = trial
    return champion


def beats(plan: Plan, trial: Trial, champion: Trial) -> bool:
    """Whether a trial is better by more than chance; anything beats a trial that failed."""
    if trial.score is None:
        return False
    if champion.score is None:
        return True
    return plan.goal.gain(trial.score, champion.score) > plan.noise


def expected_s(plan: Plan, trials: Sequence[Trial]) -> float:
    """How long the next trial may take: as the longest so far, as each may compile anew."""
    return max((trial.seconds for trial in trials), default=plan.first_guess_s)


def changed(settings: Settings, base: Settings) -> str:
    """'max_num_seqs=1536, max_num_batched_tokens=8192': what differs from `base`."""
    differing = {n: value for n, value in settings.items() if base.get(n) != value}
    return ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in differing.items()
    )
