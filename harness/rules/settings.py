"""Rules on what was run: the whole data set, the official model, the engine's settings."""

from __future__ import annotations

from harness import formatting
from harness.config import MODEL_ALIASES
from harness.engine_args import beyond_tuning
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from harness.rules.advice import EDGE_FILE, full_run
from harness.rules.evidence import Evidence
from harness.rules.rule import OFFICIAL, Finding, Spec, always, failed, passed

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp8": "bfloat16"}
# vLLM's names: one scale for a matrix, or one for each of its outputs.
_FP8 = ("fp8", "fp8_per_channel")
_SAME_AS_WEIGHTS = (None, "auto")  # a KV cache in the precision of the weights


def _whole_data_set(evidence: Evidence) -> Finding:
    found = formatting.count(evidence.config["resolved"]["sample_count"])
    if not evidence.smoke:
        return passed(f"{found} samples")
    text = f"It ran {found} samples; an official run uses all {_samples(evidence)}."
    if evidence.config["flags"]["total_sample_count"] is not None:
        text += " Leave out --total-sample-count."
    return failed(f"{found} samples", text, full_run(evidence.config))


def _samples(evidence: Evidence) -> str:
    return formatting.count(evidence.category.dataset_samples)


def _model(evidence: Evidence) -> Finding:
    flags, model = evidence.config["flags"], evidence.config["model"]
    revision, step = model["revision"], full_run(evidence.config)
    if because := model["unofficial_because"] or _recorded(evidence, "model"):
        return failed(flags["model"], f"{because} Leave out --model.", step)
    if flags["weights"] == "dummy":
        return passed("its shape, as shipped here")
    repo = MODEL_ALIASES.get(flags["model"].lower(), flags["model"])
    if repo == OFFICIAL_MODEL and revision != OFFICIAL_MODEL_REVISION:
        text = (
            f"The model is {repo} at revision {(revision or 'unknown')[:8]}; the official one is "
            f"{OFFICIAL_MODEL_REVISION[:8]}. Run it again: that one is taken by default."
        )
        return failed(f"revision {revision or 'unknown'}", text, step)
    if repo != OFFICIAL_MODEL:
        return passed(f"{repo}, taken at the user's word: a folder has no revision")
    return passed(f"revision {revision}")


def _recorded(evidence: Evidence, name: str) -> str | None:
    """The sentence of a departure that the run itself recorded."""
    departures = evidence.config["departures"]
    return next((d["sentence"] for d in departures if d["id"] == name), None)


def _weights(evidence: Evidence) -> Finding:
    weights = evidence.config["flags"]["weights"]
    if weights == "real":
        return passed(weights)
    text = (
        "The weights are random numbers of the model's shape: the speed means something, the "
        "answers do not. Leave out --weights."
    )
    return failed(weights, text, full_run(evidence.config))


def _data_set(evidence: Evidence) -> Finding:
    flags, data = evidence.config["flags"], evidence.config["dataset"]
    because = data["unofficial_because"] or _recorded(evidence, "dataset")
    if because is None and flags["dataset"] != "cnndm":
        because = f"The data set is {flags['dataset']}, not CNN/DailyMail."
    if because is None:
        return passed(data["source"])
    edge = flags["category"] == "edge"
    way_out = f"Give --dataset-path {EDGE_FILE}." if edge else "Leave out --dataset."
    if not edge and flags["dataset_path"]:
        way_out = "Leave out --dataset-path, or give the official cnn_eval.json."
    return failed(data["source"], f"{because} {way_out}", full_run(evidence.config))


def _precision(evidence: Evidence) -> Finding:
    flags, engine = evidence.config["flags"], evidence.config["resolved"]["engine"]
    precision = flags["precision"]
    quantization, cache = engine.get("quantization"), engine.get("kv_cache_dtype")
    parts = [f"{engine.get('dtype')} weights"]
    parts += [f"quantised to {quantization}"] if quantization else []
    parts += [f"KV cache in {cache}"] if cache not in _SAME_AS_WEIGHTS else []
    found = ", ".join(parts)
    wanted = _FP8 if precision == "fp8" else (None,)
    if engine.get("dtype") != _DTYPES[precision] or quantization not in wanted:
        text = (
            f"The run calls itself {precision}, but the engine ran with {found}. Say with "
            "--precision what is to run, so that the report names what was measured."
        )
        return failed(found, text, full_run(evidence.config))
    if quantization or cache not in _SAME_AS_WEIGHTS:
        found += " (allowed; a submission describes it in its calibration.md)"
    return passed(found)


def _answer_length(evidence: Evidence) -> Finding:
    allowed, resolved = evidence.official.max_new_tokens, evidence.config["resolved"]
    asked = evidence.config["flags"]["max_new_tokens"]
    told = (resolved.get("sampling") or {}).get("max_tokens", asked)
    longest = max(evidence.answer_lengths, default=0)
    if asked == told == allowed and longest <= allowed:
        return passed(f"{allowed} tokens")
    if asked == told == allowed:
        text = (
            f"An answer has {longest} tokens, though answers end at {allowed}: the accuracy log is "
            "not one of this run. Run it again."
        )
        return failed(f"{longest} tokens", text, full_run(evidence.config))
    found = told if asked == allowed else asked
    text = f"Answers end at {found} tokens; the rules say {allowed}. Leave out --max-new-tokens."
    return failed(f"{found} tokens", text, full_run(evidence.config))


def _greedy(evidence: Evidence) -> Finding:
    sampling = evidence.config["resolved"].get("sampling")
    if sampling is None:
        text = (
            "The run does not say how the next token was chosen, since an earlier version of this "
            "program made it. Run it again."
        )
        return failed("not recorded", text, full_run(evidence.config))
    temperature = sampling.get("temperature")
    if temperature == 0:
        return passed("temperature 0")
    text = (
        f"The engine drew tokens at random (temperature {temperature}); the rules ask for the "
        "likeliest one each time (temperature 0). Run it again with this program as it came."
    )
    return failed(f"temperature {temperature}", text, full_run(evidence.config))


def _prefix_caching(evidence: Evidence) -> Finding:
    # vLLM's own default is on, so a run that does not say is one that had it.
    if evidence.config["resolved"]["engine"].get("enable_prefix_caching", True) is False:
        return passed("off")
    text = (
        "Prefix caching was on: vLLM could reuse work from one query for the next, which the rules "
        "forbid. Leave out --engine-arg enable_prefix_caching."
    )
    return failed("on", text, full_run(evidence.config))


def _engine_args(evidence: Evidence) -> Finding:
    given = evidence.config["flags"]["engine_args"]
    unusual = beyond_tuning(given)
    if not unusual:
        return passed(", ".join(given) or "none")
    names = ", ".join(unusual)
    text = (
        f"The engine was given {names}, and nobody has checked that the rules allow it. Leave it "
        "out of the --engine-arg flags."
    )
    return failed(names, text, full_run(evidence.config))


def _gate_share(evidence: Evidence) -> Finding:
    if not evidence.config["flags"]["high_accuracy"]:
        return passed("99 %")
    text = (
        "The answers were judged at 99.9 % of the reference; this model has no such variant, its "
        "gate is 99 %. Leave out --high-accuracy."
    )
    return failed("99.9 %", text, full_run(evidence.config))


SETTINGS = (
    Spec(
        "whole-data-set",
        OFFICIAL,
        "loadgen/mlperf.conf:21-23",
        lambda e: f"all {_samples(e)} samples of the data set",
        _whole_data_set,
        departure="sample_count",
    ),
    Spec(
        "model",
        OFFICIAL,
        "REF/README.md:118",
        always(f"{OFFICIAL_MODEL} at revision {OFFICIAL_MODEL_REVISION[:8]}"),
        _model,
        departure="model",
    ),
    Spec(
        "weights", OFFICIAL, "rules:680-701", always("real weights"), _weights, departure="weights"
    ),
    Spec(
        "data-set",
        OFFICIAL,
        "REF/README.md:131-179",
        always("the official articles or token ids"),
        _data_set,
        departure="dataset",
    ),
    Spec(
        "precision", OFFICIAL, "rules:680-701", always("the precision is the one named"), _precision
    ),
    Spec(
        "max-new-tokens",
        OFFICIAL,
        "rules:373-374",
        lambda e: f"answers end at {e.official.max_new_tokens} tokens",
        _answer_length,
        departure="max_new_tokens",
    ),
    Spec(
        "greedy", OFFICIAL, "rules:893", always("the likeliest token is taken each time"), _greedy
    ),
    Spec(
        "prefix-caching",
        OFFICIAL,
        "rules:459-460,773,895-905",
        always("prefix caching is off"),
        _prefix_caching,
        departure="prefix_caching",
    ),
    Spec(
        "engine-args",
        OFFICIAL,
        "rules:752-775",
        always("no engine argument beyond tuning"),
        _engine_args,
        departure="engine_args",
    ),
    Spec(
        "gate-share",
        OFFICIAL,
        "CHK/constants.py:1153-1176",
        always("the gate is 99 % of the reference"),
        _gate_share,
        departure="high_accuracy",
    ),
)
