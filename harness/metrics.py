"""What a run measured: frozen records with units. Unknown is None, never NaN."""

from __future__ import annotations

from dataclasses import dataclass, field

# LoadGen logs an answer as the bytes of this dtype; the official evaluation must be told the same
# one.
TOKEN_DTYPE = "int32"
# Why an answer ends: the model said so, or the longest answer was reached.
END_TOKEN = "end token"
LENGTH = "length"


@dataclass(frozen=True)
class LatencyStats:
    """A distribution of latencies in milliseconds, as LoadGen printed it."""

    mean_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p97_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None


@dataclass(frozen=True)
class SampleTimes:
    """One answered sample of a performance test; seconds since the first query was issued."""

    sample_index: int
    issued_s: float
    first_token_s: float | None  # None in Offline, where LoadGen asks for no first token
    completed_s: float
    tokens: int

    @property
    def latency_ms(self) -> float:
        """From the issue to the complete answer."""
        return 1000 * (self.completed_s - self.issued_s)

    @property
    def ttft_ms(self) -> float | None:
        """From the issue to the first token."""
        return None if self.first_token_s is None else 1000 * (self.first_token_s - self.issued_s)

    @property
    def tpot_ms(self) -> float | None:
        """Time of each token after the first, as LoadGen divides; None where there is none."""
        if self.first_token_s is None or self.tokens < 2:
            return None
        return 1000 * (self.completed_s - self.first_token_s) / (self.tokens - 1)


@dataclass(frozen=True)
class TimelinePoint:
    """The engine's state at one moment of a test; seconds since the first query was issued."""

    time_s: float
    tokens: int  # generated so far
    samples_done: int
    outstanding: int  # queries issued and not yet answered


@dataclass(frozen=True)
class EngineState:
    """What vLLM's schedulers last said, all copies of the model together."""

    steps: int  # so far, and so the next two
    tokens: int  # generated
    preemptions: int  # requests put back because the KV cache was full
    running: int  # requests in the engine at the moment
    waiting: int  # for a place in it
    kv_cache_percent: float  # in use, of the fullest copy


@dataclass(frozen=True)
class TelemetryPoint:
    """What the machine and the engine did in one second of a test; None: it could not be seen.

    Over several GPUs: the mean of the utilisation, the sum of power, errors and traffic, and of
    the others the worst.
    """

    time_s: float  # since the first query was issued
    gpu_utilisation_percent: float | None = None
    gpu_power_w: float | None = None
    gpu_sm_mhz: float | None = None  # the slowest
    gpu_temperature_c: float | None = None  # the hottest
    gpu_memory_mib: float | None = None  # the fullest
    gpu_held_back_by: str | None = None  # "power+temperature", or "nothing"
    gpu_ecc_errors: int | None = None  # since the driver was loaded
    gpu_pcie_mb_per_s: float | None = None  # both ways
    gpu_other_processes: int | None = None  # on these GPUs, and not of this run
    client_cpu_percent: float | None = None  # of one core: the process that answers LoadGen
    processes_cpu_percent: float | None = None  # of one core: every process of this run
    processes_memory_mib: float | None = None
    engine_steps: int | None = None  # of this test so far, and so the next two
    engine_tokens: int | None = None
    engine_preemptions: int | None = None
    engine_running: int | None = None
    engine_waiting: int | None = None
    kv_cache_percent: float | None = None
    engine_cpu_percent: float | None = None  # of one core: the busiest of the engine's processes


@dataclass(frozen=True)
class LoadGenRun:
    """What LoadGen's own logs say of one test."""

    scenario: str  # LoadGen's word: Offline, Server, SingleStream
    mode: str  # PerformanceOnly or AccuracyOnly
    loadgen_version: str | None
    qsl_rng_seed: int | None
    sample_index_rng_seed: int | None
    schedule_rng_seed: int | None
    effective: dict[str, object]  # every "effective_*" setting, without the prefix
    results: dict[str, object]  # every "result_*" and "early_stopping_*" value
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    valid: bool | None  # None in accuracy mode, where LoadGen judges nothing
    ended: bool  # False: the log breaks off before LoadGen's last line
    sample_count: int | None  # samples this test issued
    requested: dict[str, object] = field(default_factory=dict)  # every "requested_*" setting
    dataset_samples: int | None = None  # in the data set, as LoadGen was told
    began: str | None = None  # when the test began: ISO 8601, UTC
    uncommitted: str | None = None  # what git said of LoadGen's sources when it was built


@dataclass(frozen=True)
class PerformanceResult:
    """The performance test of a run."""

    scenario: str
    duration_s: float | None  # first query to last answer
    sample_count: int | None
    total_new_tokens: int | None
    tokens_per_second: float | None
    samples_per_second: float | None
    target_qps: float | None
    achieved_qps: float | None
    latency: LatencyStats
    ttft: LatencyStats | None
    tpot: LatencyStats | None
    loadgen: LoadGenRun


@dataclass(frozen=True)
class ComplianceCheck:
    """One check of a compliance test."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class ComplianceResult:
    """The compliance test TEST06 of a run."""

    passed: bool
    checks: tuple[ComplianceCheck, ...]
    verified: bool  # whether verify_accuracy.txt, which a submission holds, is there


@dataclass(frozen=True)
class Generation:
    """One answer as LoadGen logged it."""

    sample_index: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class ReadableAnswer:
    """One answer of an accuracy test as text, beside what it was made of and judged by."""

    index: int  # of the sample
    article: str | None  # its beginning; None: there is no text
    reference: str | None  # the summary a person wrote
    text: str
    tokens: int
    ended_by: str  # END_TOKEN or LENGTH
    rouge1: float | None  # a fraction; None: not judged
    rouge2: float | None
    rougeL: float | None  # the official name
    rougeLsum: float | None  # the official name


@dataclass(frozen=True)
class AccuracyResult:
    """ROUGE as fractions (0.3879) and lengths, judged against the round's gate."""

    total_samples: int
    rouge1: float | None  # None: this data set has no references
    rouge2: float | None
    rougeL: float | None  # the official name
    rougeLsum: float | None  # the official name
    gen_len: int | None  # characters, as the official evaluation counts
    gen_num: int
    passed: bool | None  # None: not judged
    failures: tuple[str, ...] = ()  # a sentence for each gate missed
    not_judged_because: str | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    log_sha256: str | None = None  # of the accuracy log that was scored; None: not recorded


@dataclass(frozen=True)
class AuditedAnswer:
    """One answer as LoadGen logged it in TEST06."""

    sample_index: int
    token_ids: tuple[int, ...]
    first_token_ids: tuple[int, ...]  # as reported before the answer; empty in Offline
    told_count: int | None  # tokens LoadGen was told that the answer has
