"""Official constants of Llama-3.1-8B, one frozen record per MLPerf Inference round.

Sources are files of github.com/mlcommons/inference at commit b66003e1 (2026-08-20), where `CHK/`
stands for tools/submission/submission_checker/ and `REF/` for language/llama3.1-8b/; `rules` is
inference_rules.adoc of github.com/mlcommons/inference_policies at ac93e89.
"""

from __future__ import annotations

from dataclasses import dataclass

OFFICIAL_MODEL = "meta-llama/Llama-3.1-8B-Instruct"
OFFICIAL_MODEL_REVISION = "be673f326cab4cd22ccfef76109faf68e41aa5f1"  # REF/README.md:118
OFFICIAL_DATASET = (
    "abisee/cnn_dailymail"  # the data set behind "cnn_dailymail"; REF/download_cnndm.py:20
)
OFFICIAL_DATASET_CONFIG = "3.0.0"  # REF/download_cnndm.py:20-31
OFFICIAL_DATASET_SPLIT = "validation"  # REF/download_cnndm.py:72


@dataclass(frozen=True)
class Seeds:
    """LoadGen's three random seeds; they change every round and are compiled into LoadGen."""

    qsl_rng_seed: int
    sample_index_rng_seed: int
    schedule_rng_seed: int


@dataclass(frozen=True)
class AccuracyTargets:
    """Reference ROUGE in percent, and the length of all summaries together in characters."""

    rouge1: float
    rouge2: float
    rougeL: float  # the official name
    rougeLsum: float  # the official name
    gen_len: int


@dataclass(frozen=True)
class LatencyLimits:
    """99th percentile limits of a Server scenario, in milliseconds."""

    ttft_p99_ms: float
    tpot_p99_ms: float


@dataclass(frozen=True)
class Category:
    """What one category (datacenter or edge) fixes for this model."""

    loadgen_model: str  # the name LoadGen looks its settings up by
    dataset_samples: int
    accuracy: AccuracyTargets
    scenarios: tuple[str, ...]


@dataclass(frozen=True)
class Round:
    """One MLPerf Inference round."""

    name: str
    seeds: Seeds
    loadgen_versions: str  # what to install to get these seeds
    # Releases that carry these seeds and know all three model names (read from each, or from the
    # history of the seeds in git).
    loadgen_releases: tuple[str, ...]
    # Releases with the same seeds and settings that know only the datacenter category's name.
    loadgen_releases_datacenter: tuple[str, ...]
    datacenter: Category
    edge: Category
    server_limits: LatencyLimits
    interactive_limits: LatencyLimits
    interactive_loadgen_model: str
    min_duration_s: int
    latency_percentile: float
    single_stream_percentile: float
    early_stopping_min_queries_server: int
    early_stopping_min_queries_single_stream: int
    # The highest that a Server test may be configured with, beside its limits of TTFT and TPOT.
    most_target_latency_ms: float
    max_new_tokens: int
    min_new_tokens: int
    gate_multiplier: float  # ROUGE must reach this share of the reference
    gen_len_low: float
    gen_len_high: float

    def category(self, name: str) -> Category:
        """The record of "datacenter" or "edge"."""
        return {"datacenter": self.datacenter, "edge": self.edge}[name]

    def loadgen_model(self, category: str, scenario: str) -> str:
        """LoadGen has no scenario Interactive: it is Server run under a model name of its own."""
        if scenario == "interactive":
            return self.interactive_loadgen_model
        return self.category(category).loadgen_model

    def latency_limits(self, scenario: str) -> LatencyLimits | None:
        """The TTFT and TPOT limits of a scenario, None where there are none."""
        return {"server": self.server_limits, "interactive": self.interactive_limits}.get(scenario)


# CHK/constants.py:1153-1176 (v5.1), 437-460 (v6.0), 95-118 (v6.1); REF/README.md:321-347
_DATACENTER = Category(
    loadgen_model="llama3_1-8b",
    dataset_samples=13368,  # loadgen/mlperf.conf:21
    accuracy=AccuracyTargets(
        rouge1=38.7792, rouge2=15.9075, rougeL=24.4957, rougeLsum=35.793, gen_len=8167644
    ),
    scenarios=("offline", "server", "interactive"),  # CHK/constants.py:1087,1101
)
_EDGE = Category(
    loadgen_model="llama3_1-8b-edge",
    dataset_samples=5000,  # loadgen/mlperf.conf:23
    accuracy=AccuracyTargets(
        rouge1=39.06, rouge2=16.1147, rougeL=24.6375, rougeLsum=36.124, gen_len=3051113
    ),
    scenarios=("offline", "singlestream"),  # CHK/constants.py:1110
)


def _round(
    name: str,
    seeds: Seeds,
    loadgen_versions: str,
    loadgen_releases: tuple[str, ...],
    loadgen_releases_datacenter: tuple[str, ...] = (),
) -> Round:
    """The three rounds differ in their seeds alone (CHK/constants.py, loadgen/mlperf.conf)."""
    return Round(
        name=name,
        seeds=seeds,
        loadgen_versions=loadgen_versions,
        loadgen_releases=loadgen_releases,
        loadgen_releases_datacenter=loadgen_releases_datacenter,
        datacenter=_DATACENTER,
        edge=_EDGE,
        server_limits=LatencyLimits(
            ttft_p99_ms=2000.0, tpot_p99_ms=100.0
        ),  # loadgen/mlperf.conf:140-141
        interactive_limits=LatencyLimits(
            ttft_p99_ms=500.0, tpot_p99_ms=30.0
        ),  # loadgen/mlperf.conf:145-146
        interactive_loadgen_model="llama3_1-8b-interactive",
        min_duration_s=600,  # loadgen/mlperf.conf:52,85,169
        latency_percentile=0.99,  # loadgen/mlperf.conf:83
        single_stream_percentile=0.90,  # loadgen/mlperf.conf:50
        # p = c = 0.99 and no query over the limit; rules:1140-1160
        early_stopping_min_queries_server=459,
        early_stopping_min_queries_single_stream=64,  # rules:1140-1160
        most_target_latency_ms=20_000.0,  # CHK/checks/performance_check.py:111-540
        max_new_tokens=128,  # rules:373-374
        min_new_tokens=1,  # rules:373-374
        gate_multiplier=0.99,  # CHK/constants.py:1153-1176
        gen_len_low=0.9,  # CHK/constants.py:1153-1176
        gen_len_high=1.1,  # CHK/constants.py:1241-1242
    )


V5_1 = _round(
    "5.1",  # seeds: CHK/constants.py:1303-1308
    Seeds(1780908523862526354, 14771362308971278857, 18209322760996052031),
    "mlcommons-loadgen==5.1.2",
    ("5.1.1", "5.1.2"),
    ("5.1.0",),  # of all published results of the round
)
V6_0 = _round(
    "6.0",  # seeds: CHK/constants.py:619-624
    Seeds(2465351861681999779, 14276810075590677512, 3936089224930324775),
    "mlcommons-loadgen==6.0.14",
    tuple(f"6.0.{patch}" for patch in range(5, 16)),
)
V6_1 = _round(
    "6.1",  # seeds: CHK/constants.py:240-244
    Seeds(2085463073848966840, 2747215439041700203, 16159082839903944936),
    "mlcommons-loadgen==6.0.17",
    ("6.0.16", "6.0.17"),
)
ROUNDS = {record.name: record for record in (V5_1, V6_0, V6_1)}

# There is no 99.9 % variant of this model (github.com/mlcommons/inference issue #2384):
# --high-accuracy is ours.
HIGH_ACCURACY_MULTIPLIER = 0.999
