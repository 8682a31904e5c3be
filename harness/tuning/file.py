"""tuning.json in the results folder: what searches for settings tried, and what later runs use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import formatting
from harness.config import RunConfig
from harness.engine.profiles import Profile
from harness.language import phrase
from harness.machine.system import SystemInfo
from harness.results.files import locked, read_object, set_aside, write_json
from harness.results.folder import TUNING_JSON
from harness.tuning.search import Goal, Plan, Trial, best, next_settings

# 2: the class of our kernels in vLLM's workers has another name than before. 1: the first.
SCHEMA_VERSION = 2
LARGEST_FIGURE = 1e15  # nothing measured is larger; infinity and NaN are not smaller


@dataclass(frozen=True)
class Search:
    """What a search is about. Its results hold for runs under the same circumstances."""

    circumstances: dict[str, Any]  # machine, vLLM, model, precision, scenario, parallel sizes
    work: dict[str, Any]  # what its trials answer: they compare only among the same
    system: dict[str, Any]  # the whole machine, for people: nothing is compared with it


def describe(config: RunConfig, system: SystemInfo, max_model_len: int, prompts: str) -> Search:
    """The search that a command asks for. `prompts` is the checksum of the data set."""
    return Search(
        circumstances_of(config, system),
        {
            "weights": config.weights,
            "dataset": config.dataset,
            "prompts": prompts,
            "max_new_tokens": config.max_new_tokens,
            "max_model_len": max_model_len,
            "gpu_memory_utilization": config.gpu_memory_utilization,
            "engine_args": dict(config.engine_args),
        },
        asdict(system),
    )


def circumstances_of(config: RunConfig, system: SystemInfo) -> dict[str, Any]:
    """Under what settings were found to be the best, and under what alone they are used again."""
    on_gpu = bool(system.gpu_count)
    return {
        "machine": system.gpu_name if on_gpu else system.cpu,
        "units": system.gpu_count if on_gpu else system.cores_of_time,
        "vllm_version": system.vllm_version,
        "model": config.model_repo,
        "precision": config.precision,
        "scenario": config.scenario.value,
        "tensor_parallel_size": config.tensor_parallel_size,
        "data_parallel_size": config.data_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "distributed_executor_backend": config.distributed_executor_backend,
    }


def read_trials(results_dir: Path, search: Search) -> list[Trial]:
    """The trials of the same search that an earlier command has recorded."""
    for record in _records(results_dir):
        if _is_of(record, search):
            return [Trial(**trial) for trial in record["trials"]]
    return []


def write(
    results_dir: Path,
    search: Search,
    plan: Plan,
    trials: Sequence[Trial],
    *,
    date: str,
    profile: Profile,
) -> str | None:
    """Puts a search as it stands in the place of what is recorded of it.

    A file that is damaged is set aside, its whole records excepted; returns a sentence then.
    """
    chosen = best(plan, trials)
    record = {
        "date": date,
        "place": search.circumstances,
        "work": search.work,
        "profile": profile.name,
        "base": dict(plan.base),
        "goal": {"unit": plan.goal.unit, "more_is_better": plan.goal.more_is_better},
        "noise": plan.noise,
        "complete": next_settings(plan, trials) is None,
        "best": chosen.to_json() if chosen else None,
        "trials": [trial.to_json() for trial in trials],
        "system": search.system,
    }
    with locked(results_dir):
        path = results_dir / TUNING_JSON
        others = [known for known in _records(results_dir) if not _is_of(known, search)]
        aside = set_aside(path) if _is_damaged(path) else None
        write_json(path, {"schema_version": SCHEMA_VERSION, "searches": [*others, record]})
    if aside is None:
        return None
    return phrase("{path} was damaged; it is now {name}", path=path, name=aside.name)


def find(results_dir: Path, config: RunConfig, system: SystemInfo) -> Profile | None:
    """What the newest search under these circumstances found; None: no better than the profile.

    A search under engine arguments of the user's counts only where they are given again.
    """
    circumstances = circumstances_of(config, system)
    records = [
        record
        for record in _records(results_dir)
        if record["place"] == circumstances
        and _all_given(record["work"]["engine_args"], config.engine_args)
    ]
    if not records:
        return None
    # Of two of the same moment the one that was written last, which stands last.
    newest = max(reversed(records), key=lambda record: str(record["date"]))
    chosen = newest["best"]
    if chosen is None or chosen["settings"] == newest["base"]:
        return None
    return Profile(
        f"tuned-{config.precision}-{config.scenario.value}", chosen["settings"], _source(newest)
    )


def _all_given(fixed: dict[str, Any], given: Mapping[str, Any]) -> bool:
    return all(name in given and given[name] == value for name, value in fixed.items())


def _source(record: dict[str, Any]) -> str:
    """'tuned on 2026-11-24: 7,402 tokens/s, 3.8 % better than h200-fp8-offline (9 trials; ...)'."""
    chosen, trials = record["best"], record["trials"]
    goal = Goal(**record["goal"])
    start = next((t["score"] for t in trials if t["settings"] == record["base"]), None)
    than = "which did not run"
    if start is not None:
        than = f"{100 * goal.gain(chosen['score'], start):.1f} % better"
    tried = f"{len(trials)} trials, {'complete' if record['complete'] else 'not complete'}"
    work = record["work"]
    return (
        f"tuned on {str(record['date'])[:10]}: {formatting.rate(chosen['score'], goal.unit)}, "
        f"{than} than {record['profile']} ({tried}; {work['weights']} weights, "
        f"data set {work['dataset']})"
    )


def _is_of(record: dict[str, Any], search: Search) -> bool:
    # By their JSON, as that is what the recorded side has been through.
    return all(
        json.dumps(record[name], sort_keys=True) == json.dumps(part, sort_keys=True)
        for name, part in (("place", search.circumstances), ("work", search.work))
    )


def note_on_ignored(results_dir: Path) -> str | None:
    """A sentence where there is a file of searches that this version does not use, or not whole."""
    path = results_dir / TUNING_JSON
    content = read_object(path)
    if "schema_version" in content and content["schema_version"] != SCHEMA_VERSION:
        return phrase(
            "note: {path} was written by another version of this program, whose kernels had other "
            "names, so its searches are not used; --tune MINUTES searches anew",
            path=path,
        )
    if not _is_damaged(path):
        return None
    return phrase(
        "note: {path} is damaged, so its searches are not used, or only the whole ones among "
        "them; --tune MINUTES sets the file aside and searches anew",
        path=path,
    )


def _records(results_dir: Path) -> list[dict[str, Any]]:
    """The whole records in the file; nothing where it is missing, damaged or of another schema."""
    content = read_object(results_dir / TUNING_JSON)
    searches = content.get("searches")
    if content.get("schema_version") != SCHEMA_VERSION or not isinstance(searches, list):
        return []
    return [record for record in searches if _is_whole(record)]


def _is_damaged(path: Path) -> bool:
    """Whether something lies there that no version of this program has written."""
    content = read_object(path)
    if content.get("schema_version") != SCHEMA_VERSION:
        return "schema_version" not in content and (path.exists() or path.is_symlink())
    searches = content.get("searches")
    return not isinstance(searches, list) or not all(map(_is_whole, searches))


def _is_whole(record: object) -> bool:
    """Whether a record has every part that is read of it, each of its kind."""
    if not isinstance(record, dict):
        return False
    try:
        json.dumps(record, allow_nan=False)  # as `write` will, of all it keeps
        place, work, goal = record["place"], record["work"], Goal(**record["goal"])
        trials = [Trial(**trial) for trial in record["trials"]]
        chosen = None if record["best"] is None else Trial(**record["best"])
        return (
            all(isinstance(part, dict) for part in (place, work, record["base"]))
            and isinstance(work["engine_args"], dict)
            and all(isinstance(work[name], str) for name in ("weights", "dataset"))
            and all(isinstance(record[name], str) for name in ("date", "profile"))
            and isinstance(goal.unit, str)
            and isinstance(goal.more_is_better, bool)
            and isinstance(record["complete"], bool)
            and all(map(_is_whole_trial, trials))
            and (chosen is None or (_is_whole_trial(chosen) and chosen.score is not None))
        )
    except (KeyError, TypeError, ValueError):
        return False


def _is_whole_trial(trial: Trial) -> bool:
    return (
        isinstance(trial.settings, dict)
        and isinstance(trial.details, dict)
        and all(map(_is_figure, (trial.seconds, *trial.details.values())))
        and (trial.score is None or (_is_figure(trial.score) and trial.score > 0))
        and (trial.failure is None or isinstance(trial.failure, str))
    )


def _is_figure(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST_FIGURE < value < LARGEST_FIGURE
