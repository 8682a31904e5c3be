"""The keys of LoadGen's detail logs, and the files of a run folder, that may be spoilt."""

from __future__ import annotations

from tests.submission.harmless import ANY_WAY, NOT_ZERO, Harmless

_EVERY_LOG = [
    Harmless(
        r"loadgen_(build_date_(local|utc)|git_(commit_date|log_message)|file_sha1)",
        ANY_WAY,
        "words on the build; the release is in loadgen_version",
    ),
    Harmless(
        r"sut_name|get_sut_name_duration_ns|qsl_name|qsl_reported_performance_count|power_begin",
        ANY_WAY,
        "names and clocks; what was drawn from is in effective_performance_sample_count",
    ),
    Harmless(
        r"requested_(scenario|test_mode|(min|max)_(duration_ms|query_count)"
        r"|(qsl|sample_index|schedule)_rng_seed|accuracy_log_(rng_seed|probability|sampling_target)"
        r"|performance_(issue_(unique|same|same_index)|sample_count_override)"
        r"|sample_concatenate_permutation)",
        ANY_WAY,
        "what ran is in the effective_ setting beside it",
    ),
    Harmless(
        r"requested_single_stream_target_latency_percentile",
        ANY_WAY,
        "what ran is in the effective_ setting beside it",
        "singlestream",
    ),
    Harmless(
        r"requested_server_target_latency_percentile",
        ANY_WAY,
        "what ran is in the effective_ setting beside it",
        "server interactive",
    ),
    Harmless(
        r"requested_server_(target_latency_ns|max_async_queries)",
        NOT_ZERO,
        "what ran is in the effective_ setting beside it",
        "server interactive",
    ),
    Harmless(
        r"requested_server_find_peak_qps_(decimals_of_precision|boundary_step_size)",
        ANY_WAY,
        "of another mode of LoadGen, which looks for a rate",
        "server interactive",
    ),
    Harmless(
        r"requested_server_num_issue_query_threads",
        NOT_ZERO,
        "how LoadGen issues queries, not which and when",
        "server interactive",
    ),
    Harmless(
        r"requested_server_t[pt][of]t_latency",
        ANY_WAY,
        "SingleStream has no limits",
        "singlestream",
    ),
    Harmless(
        r"(requested|effective)_print_timestamps|effective_min_sample_count|generic_message",
        ANY_WAY,
        "decides and says nothing",
    ),
    Harmless(r"generated_query_duration", ANY_WAY, "a plan; how long it took is in the results"),
    Harmless(
        r"effective_target_duration_ms", NOT_ZERO, "a plan; how long it took is in the results"
    ),
    Harmless(
        r"effective_(accuracy_log_rng_seed|performance_issue_same_index)",
        NOT_ZERO,
        "of what is off: no answers are chosen to be logged, and no sample to be repeated",
    ),
    Harmless(
        r"logger_(swap_request_slots_retry_(retry_|reencounter_)?count"
        r"|start_reading_entries_retry_count|tls_total_(log_cas_fail|swap_buffers_slot_retry)_count)",
        NOT_ZERO,
        "LoadGen's counts of its own logger",
    ),
]
_PLAN = Harmless(
    r"effective_target_duration_ms",
    "zero",
    "a plan; how long it took is in the results",
    "server interactive singlestream",
)
_TARGETS = [
    Harmless(names, ANY_WAY, "user.conf is held against the performance test's log", of)
    for names, of in (
        (r"requested_offline_expected_qps", "offline"),
        (r"requested_server_target_qps", "server interactive"),
        (r"requested_single_stream_expected_latency_ns", "singlestream"),
    )
]
_FREE_LATENCY = "the number of queries follows from it, and that is counted"

PERFORMANCE = [
    *_EVERY_LOG,
    _PLAN,
    Harmless(r"loadgen_git_status_message", "delete inf", "empty in a LoadGen that is unaltered"),
    Harmless(
        r"logger_start_reading_entries_retry_count",
        "zero",
        "LoadGen's count of its own logger",
        "server",
    ),
    Harmless(r"requested_server_coalesce_queries", "zero", "0 is false: off", "server interactive"),
    Harmless(r"power_end", ANY_WAY, "a clock; num_errors is the last word of a test"),
    Harmless(r"loaded_qsl_set", "delete", "no figure; what was issued is counted in the results"),
    Harmless(
        r"qsl_reported_total_count",
        "swap",
        "a number that is as large",
        "offline singlestream",
    ),
    Harmless(r"generated_query_count", "delete inf", "result_query_count is what was issued"),
    Harmless(
        r"generated_query_count", "swap", "a larger number: a plan that was not all", "offline"
    ),
    Harmless(
        r"effective_(max_(duration_ms|query_count)|accuracy_log_(probability|sampling_target)"
        r"|performance_issue_(unique|same))",
        "delete",
        "the requested_ setting beside it is looked at instead",
    ),
    Harmless(r"effective_performance_issue_(unique|same)", "zero", "0 is false: off"),
    Harmless(
        r"effective_max_async_queries",
        ANY_WAY,
        "one query at a time, by what Offline and SingleStream are",
        "offline singlestream",
    ),
    Harmless(r"effective_target_latency_ns", NOT_ZERO, _FREE_LATENCY, "singlestream"),
    Harmless(r"effective_target_latency_ns", NOT_ZERO, "Offline has no target", "offline"),
    Harmless(
        r"effective_target_latency_ns",
        "swap",
        "LoadGen's own limit may be up to 20 s",
        "server interactive",
    ),
    Harmless(
        r"early_stopping_t[pt][of]t_result",
        ANY_WAY,
        "LoadGen's words; its answer is early_stopping_met",
    ),
    Harmless(r"early_stopping_met", ANY_WAY, "Offline has no early stopping", "offline"),
    Harmless(
        r"early_stopping_latency_(ss|ms)",
        ANY_WAY,
        "of the first token: no figure of a result",
        "singlestream",
    ),
    Harmless(
        r"result_perf_constraints_met",
        "delete",
        "result_validity has it in it, and the limits are held by their figures",
        "server interactive",
    ),
    Harmless(
        r"result_overlatency_query_count",
        ANY_WAY,
        "against LoadGen's target of 0: every query is over it",
        "server interactive",
    ),
    Harmless(
        r"result_scheduled_samples_per_sec|result_token_throughput(_with_loadgen_overhead)?",
        ANY_WAY,
        "no result is published by it",
        "server interactive",
    ),
    Harmless(
        r"result_token_throughput(_with_loadgen_overhead)?|result_qps_without_loadgen_overhead"
        r"|result_completed_tokens_per_second",
        ANY_WAY,
        "no result is published by it",
        "singlestream",
    ),
    Harmless(
        r"result_qps_with_loadgen_overhead",
        "swap",
        "the rate without LoadGen's overhead, which is the same to its last digit",
        "singlestream",
    ),
]

ACCURACY = [
    *_EVERY_LOG,
    *_TARGETS,
    _PLAN,
    Harmless(r"loadgen_git_status_message", "delete inf", "empty in a LoadGen that is unaltered"),
    Harmless(
        r"effective_(samples_per_query|target_(qps|latency_percentile)|min_(duration_ms|query_count)"
        r"|performance_issue_(unique|same)|sample_concatenate_permutation)",
        ANY_WAY,
        "decides in performance mode; an accuracy test asks for every sample once",
    ),
    Harmless(
        r"effective_(target_latency_ns|max_(duration_ms|query_count)"
        r"|accuracy_log_(probability|sampling_target))",
        NOT_ZERO,
        "decides in performance mode; an accuracy test asks for every sample once",
    ),
    Harmless(
        r"effective_max_async_queries",
        NOT_ZERO,
        "decides in performance mode; an accuracy test asks for every sample once",
    ),
    Harmless(
        r"effective_max_async_queries",
        "zero",
        "decides in performance mode",
        "offline singlestream",
    ),
    Harmless(r"effective_performance_sample_count", "zero inf swap", "decides in performance mode"),
    Harmless(
        r"generated_(query_count|samples_per_query)",
        ANY_WAY,
        "the answers themselves are counted",
    ),
    Harmless(r"power_end", "zero inf swap", "a clock; that it is there tells the end of the test"),
    Harmless(
        r"requested_server_coalesce_queries",
        ANY_WAY,
        "decides in performance mode",
        "server interactive",
    ),
]

_NO_FIGURE = "nobody publishes a figure of TEST06: its 100 answers are judged"
TEST06 = [
    *_EVERY_LOG,
    *_TARGETS,
    Harmless(r"loadgen_git_status_message", "delete inf", "empty in a LoadGen that is unaltered"),
    Harmless(r"power_end", ANY_WAY, "a clock; num_errors is the last word of a test"),
    Harmless(r"effective_accuracy_log_rng_seed", "zero", _NO_FIGURE),
    Harmless(r"loaded_qsl_set", "delete", _NO_FIGURE),
    Harmless(r"qsl_reported_total_count", ANY_WAY, _NO_FIGURE),
    Harmless(
        r"requested_(use_token_latencies|server_coalesce_queries)",
        ANY_WAY,
        "the tokens of each answer are counted in TEST06's own log",
    ),
    Harmless(
        r"effective_(samples_per_query|target_(qps|latency_(ns|percentile))|target_duration_ms"
        r"|(min|max)_(duration_ms|query_count)|accuracy_log_(probability|sampling_target)"
        r"|performance_issue_(unique|same)|sample_concatenate_permutation|max_async_queries)",
        ANY_WAY,
        "audit.config decides these, and the log says that it was read",
    ),
    Harmless(r"effective_performance_sample_count", "zero inf swap", _NO_FIGURE),
    Harmless(r"generated_(query_count|samples_per_query)", ANY_WAY, _NO_FIGURE),
    Harmless(r"result_query_count", "delete zero inf", _NO_FIGURE),
    Harmless(r"result_(?!query_count).*|early_stopping_.*", ANY_WAY, _NO_FIGURE),
]

_BY_OTHERS = "TEST06 is judged by its detail log and its answers"
_DATACENTER = "offline server interactive"
FILES = [
    Harmless(r"Accuracy/mlperf_log_summary\.txt", "delete zero inf torn", "holds no figure"),
    Harmless(
        r"Performance/mlperf_log_accuracy\.json",
        "delete zero inf torn",
        "no answer is logged, and no tree takes it",
    ),
    Harmless(
        r"Compliance/TEST06/(audit\.config|mlperf_log_summary\.txt)",
        "delete zero inf torn",
        _BY_OTHERS,
        _DATACENTER,
    ),
    Harmless(r"Compliance/TEST06/mlperf_log_summary\.txt", "swap", _BY_OTHERS, _DATACENTER),
    Harmless(r"Compliance/TEST06/result\.json", "delete", _BY_OTHERS, _DATACENTER),
    Harmless(r"Compliance/TEST06/result\.json", "swap", _BY_OTHERS, "offline server"),
]
