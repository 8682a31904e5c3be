"""Rules on what was run: the whole data set, the official model, the engine's settings."""

from __future__ import annotations

from typing import Any

from harness import formatting
from harness import precision as quantised
from harness.engine_args import beyond_tuning
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from harness.rules.advice import EDGE_FILE, full_run
from harness.rules.departures import fewer_samples, other_answer_length
from harness.rules.evidence import Evidence
from harness.rules.rule import OFFICIAL, Finding, Need, failed, passed, rule

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp8": "bfloat16"}
# vLLM's names: one scale for a matrix, or one for each of its outputs.
_FP8 = ("fp8", "fp8_per_channel")
_SAME_AS_WEIGHTS = (None, "auto")  # a KV cache in the precision of the weights


def _sampling(evidence: Evidence) -> dict[str, Any] | None:
    """How the engine chose tokens; None: an earlier version of this program did not record it."""
    sampling: dict[str, Any] | None = evidence.config["resolved"].get("sampling")
    return sampling


_SAMPLING = Need(_sampling, "The run does not say how tokens were chosen; another rule says so.")


def _recorded(evidence: Evidence, name: str) -> str | None:
    """The sentence of a departure that the run itself recorded."""
    return next((d.sentence for d in evidence.departures if d.id == name), None)


@rule(
    "whole-data-set",
    OFFICIAL,
    source="loadgen/mlperf.conf:21-23",
    required=lambda e: f"all {e.category.dataset_samples:,} samples of the data set",
    departure="sample_count",
)
def _whole_data_set(evidence: Evidence) -> Finding:
    samples = f"{formatting.count(evidence.sample_count)} samples"
    if evidence.full_size:
        return passed(samples)
    text = fewer_samples(evidence.flags, evidence.sample_count)
    if evidence.flags.total_sample_count is not None:
        text += " Leave out --total-sample-count."
    return failed(samples, text, full_run(evidence))


@rule(
    "model",
    OFFICIAL,
    source="REF/README.md:118",
    required=f"{OFFICIAL_MODEL} at revision {OFFICIAL_MODEL_REVISION[:8]}",
    departure="model",
)
def _model(evidence: Evidence) -> Finding:
    flags, model = evidence.flags, evidence.config["model"]
    revision, step = model["revision"], full_run(evidence)
    if because := model["unofficial_because"] or _recorded(evidence, "model"):
        return failed(flags.model, f"{because} Leave out --model.", step)
    if flags.weights == "dummy":
        return passed("its shape, as shipped here")
    repo = flags.model_repo
    if repo == OFFICIAL_MODEL and revision != OFFICIAL_MODEL_REVISION:
        text = (
            f"The model is {repo} at revision {(revision or 'unknown')[:8]}; the official one is "
            f"{OFFICIAL_MODEL_REVISION[:8]}. Run it again: that one is taken by default."
        )
        return failed(f"revision {revision or 'unknown'}", text, step)
    if repo != OFFICIAL_MODEL:
        return passed(f"{repo}, taken at the user's word: a folder has no revision")
    return passed(f"revision {revision}")


@rule("weights", OFFICIAL, source="rules:680-701", required="real weights", departure="weights")
def _weights(evidence: Evidence) -> Finding:
    weights = evidence.flags.weights
    if weights == "real":
        return passed(weights)
    text = (
        "The weights are random numbers of the model's shape: the speed means something, the "
        "answers do not. Leave out --weights."
    )
    return failed(weights, text, full_run(evidence))


@rule(
    "data-set",
    OFFICIAL,
    source="REF/README.md:131-179",
    required="the official articles or token ids",
    departure="dataset",
)
def _data_set(evidence: Evidence) -> Finding:
    flags, data = evidence.flags, evidence.config["dataset"]
    because = data["unofficial_because"] or _recorded(evidence, "dataset")
    if because is None and flags.dataset != "cnndm":
        because = f"The data set is {flags.dataset}, not CNN/DailyMail."
    if because is None:
        return passed(data["source"])
    edge = flags.category == "edge"
    way_out = f"Give --dataset-path {EDGE_FILE}." if edge else "Leave out --dataset."
    if not edge and flags.dataset_path:
        way_out = "Leave out --dataset-path, or give the official cnn_eval.json."
    return failed(data["source"], f"{because} {way_out}", full_run(evidence))


@rule(
    "prompt",
    OFFICIAL,
    source="REF/download_cnndm.py:90-93",
    required="the official prompt, without a chat template",
    departure="chat_template",
)
def _prompt(evidence: Evidence) -> Finding:
    # A run that does not say is one of before, when there was no other prompt.
    if not evidence.config["dataset"].get("chat_template", False):
        return passed("no chat template")
    text = (
        "The prompts stand in the model's chat template; the official ones are bare. Llama-3.1 "
        "gets them so: leave out --model."
    )
    return failed("in a chat template", text, full_run(evidence))


@rule("precision", OFFICIAL, source="rules:680-701", required="the precision is the one named")
def _precision(evidence: Evidence) -> Finding:
    precision, engine = evidence.flags.precision, evidence.config["resolved"]["engine"]
    quantization, cache = engine.get("quantization"), engine.get("kv_cache_dtype")
    came = quantised.quantization(evidence.config)
    if came is None:
        parts = [f"{engine.get('dtype')} weights"]
    else:
        parts = [f"{came['label']}, as the checkpoint came", f"{engine.get('dtype')} arithmetic"]
        cache = came.get("kv_cache") if cache in _SAME_AS_WEIGHTS else cache
    parts += [f"quantised to {quantization}"] if quantization else []
    parts += [f"KV cache in {cache}"] if cache not in _SAME_AS_WEIGHTS else []
    formats = ", ".join(parts)
    expected = _FP8 if precision == "fp8" else (None,)
    if engine.get("dtype") != _DTYPES[precision] or quantization not in expected:
        text = (
            f"The run calls itself {precision}, but the engine ran with {formats}. Say with "
            "--precision what is to run, so that the report names what was measured."
        )
        return failed(formats, text, full_run(evidence))
    if came or quantization or cache not in _SAME_AS_WEIGHTS:
        formats += " (allowed; a submission describes it in its calibration.md)"
    return passed(formats)


@rule(
    "max-new-tokens",
    OFFICIAL,
    source="rules:373-374",
    required=lambda e: f"answers end at {e.official.max_new_tokens} tokens",
    departure="max_new_tokens",
)
def _answer_length(evidence: Evidence) -> Finding:
    official, flag = evidence.official.max_new_tokens, evidence.flags.max_new_tokens
    configured = (_sampling(evidence) or {}).get("max_tokens", flag)
    if not flag == configured == official:
        tokens = configured if flag == official else flag
        text = f"{other_answer_length(evidence.flags, tokens)} Leave out --max-new-tokens."
        return failed(f"{tokens} tokens", text, full_run(evidence))
    longest = max(evidence.answer_lengths, default=0)
    if longest > official:
        text = (
            f"An answer has {longest} tokens, though answers end at {official}: the accuracy log "
            "is not one of this run. Run it again."
        )
        return failed(f"{longest} tokens", text, full_run(evidence))
    return passed(f"{official} tokens")


@rule(
    "min-new-tokens",
    OFFICIAL,
    source="rules:373-374",
    required=lambda e: f"answers have at least {e.official.min_new_tokens} token",
    needs=_SAMPLING,
)
def _minimum_answer(evidence: Evidence, sampling: dict[str, Any]) -> Finding:
    official, configured = evidence.official.min_new_tokens, sampling.get("min_tokens")
    if configured == official:
        return passed(f"{official} token")
    again = "Run it again with this program as it came."
    if configured is None:
        text = f"The run does not say how short an answer may be. {again}"
        return failed("not recorded", text, full_run(evidence))
    text = (
        f"The engine was configured for answers of at least {configured} tokens; the rules say "
        f"{official}. {again}"
    )
    return failed(f"{configured} tokens", text, full_run(evidence))


@rule("greedy", OFFICIAL, source="rules:893", required="the likeliest token is taken each time")
def _greedy(evidence: Evidence) -> Finding:
    sampling = _sampling(evidence)
    if sampling is None:
        text = (
            "The run does not say how the next token was chosen, since an earlier version of this "
            "program made it. Run it again."
        )
        return failed("not recorded", text, full_run(evidence))
    temperature = sampling.get("temperature")
    if temperature == 0:
        return passed("temperature 0")
    text = (
        f"The engine drew tokens at random (temperature {temperature}); the rules ask for the "
        "likeliest one each time (temperature 0). Run it again with this program as it came."
    )
    return failed(f"temperature {temperature}", text, full_run(evidence))


@rule(
    "prefix-caching",
    OFFICIAL,
    source="rules:459-460,773,895-905",
    required="prefix caching is off",
    departure="prefix_caching",
)
def _prefix_caching(evidence: Evidence) -> Finding:
    # vLLM's own default is on, so a run that does not say is one that had it.
    if evidence.config["resolved"]["engine"].get("enable_prefix_caching", True) is False:
        return passed("off")
    text = (
        "Prefix caching was on: vLLM could reuse work from one query for the next, which the rules "
        "forbid. Leave out --engine-arg enable_prefix_caching."
    )
    return failed("on", text, full_run(evidence))


@rule(
    "engine-args",
    OFFICIAL,
    source="rules:752-775",
    required="no engine argument beyond tuning",
    departure="engine_args",
)
def _engine_args(evidence: Evidence) -> Finding:
    given = evidence.flags.engine_args
    unusual = beyond_tuning(given)
    if not unusual:
        return passed(", ".join(given) or "none")
    names = ", ".join(unusual)
    text = (
        f"The engine was given {names}, and nobody has checked that the rules allow it. Leave it "
        "out of the --engine-arg flags."
    )
    return failed(names, text, full_run(evidence))


@rule(
    "gate-share",
    OFFICIAL,
    source="CHK/constants.py:1153-1176",
    required="the gate is 99 % of the reference",
    departure="high_accuracy",
)
def _gate_share(evidence: Evidence) -> Finding:
    if not evidence.flags.high_accuracy:
        return passed("99 %")
    text = (
        "The answers were judged at 99.9 % of the reference; this model has no such variant, its "
        "gate is 99 %. Leave out --high-accuracy."
    )
    return failed("99.9 %", text, full_run(evidence))


SETTINGS = (
    _whole_data_set,
    _model,
    _weights,
    _data_set,
    _prompt,
    _precision,
    _answer_length,
    _minimum_answer,
    _greedy,
    _prefix_caching,
    _engine_args,
    _gate_share,
)
