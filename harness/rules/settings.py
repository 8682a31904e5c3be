"""Rules on what was run: the whole data set, the official model, the engine's settings."""

from __future__ import annotations

from harness import formatting
from harness import precision as quantised
from harness.engine_args import beyond_tuning
from harness.language import joined, phrase
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from harness.rules.advice import EDGE_FILE, full_run
from harness.rules.answers import ANSWERS
from harness.rules.departures import fewer_samples
from harness.rules.evidence import Evidence
from harness.rules.rule import OFFICIAL, Finding, failed, passed, rule

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp8": "bfloat16"}
# vLLM's names: one scale for a matrix, or one for each of its outputs.
_FP8 = ("fp8", "fp8_per_channel")
_SAME_AS_WEIGHTS = (None, "auto")  # a KV cache in the precision of the weights


def _recorded(evidence: Evidence, name: str) -> str | None:
    """The sentence of a departure that the run itself recorded."""
    return next((d.sentence for d in evidence.departures if d.id == name), None)


@rule(
    "whole-data-set",
    OFFICIAL,
    source="loadgen/mlperf.conf:21-23",
    required=lambda e: phrase(
        "all {samples:,} samples of the data set", samples=e.category.dataset_samples
    ),
    departure="sample_count",
)
def _whole_data_set(evidence: Evidence) -> Finding:
    samples = phrase("{samples} samples", samples=formatting.count(evidence.sample_count))
    if evidence.full_size:
        return passed(samples)
    text = fewer_samples(evidence.flags, evidence.sample_count)
    if evidence.flags.total_sample_count is not None:
        text = joined(" ", [text, phrase("Leave out --total-sample-count.")])
    return failed(samples, text, full_run(evidence))


@rule(
    "model",
    OFFICIAL,
    source="REF/README.md:118",
    required=phrase(
        "{model} at revision {official}", model=OFFICIAL_MODEL, official=OFFICIAL_MODEL_REVISION[:8]
    ),
    departure="model",
)
def _model(evidence: Evidence) -> Finding:
    flags, model = evidence.flags, evidence.config["model"]
    revision, step = model["revision"], full_run(evidence)
    if because := model["unofficial_because"] or _recorded(evidence, "model"):
        return failed(flags.model, phrase("{because} Leave out --model.", because=because), step)
    if flags.weights == "dummy":
        return passed(phrase("its shape, as shipped here"))
    repo = flags.model_repo
    if repo == OFFICIAL_MODEL and revision != OFFICIAL_MODEL_REVISION:
        text = phrase(
            "The model is {repo} at revision {revision}; the official one is {official}. Run "
            "it again: that one is taken by default.",
            repo=repo,
            revision=revision[:8] if revision else phrase("unknown"),
            official=OFFICIAL_MODEL_REVISION[:8],
        )
        return failed(
            phrase("revision {revision}", revision=revision or phrase("unknown")), text, step
        )
    if repo != OFFICIAL_MODEL:
        return passed(
            phrase("{repo}, taken at the user's word: a folder has no revision", repo=repo)
        )
    return passed(phrase("revision {revision}", revision=revision))


@rule(
    "weights",
    OFFICIAL,
    source="rules:680-701",
    required=phrase("real weights"),
    departure="weights",
)
def _weights(evidence: Evidence) -> Finding:
    weights = evidence.flags.weights
    if weights == "real":
        return passed(phrase("those of the model"))
    text = phrase(
        "The weights are random numbers of the model's shape: the speed means something, the "
        "answers do not. Leave out --weights."
    )
    return failed(weights, text, full_run(evidence))


@rule(
    "data-set",
    OFFICIAL,
    source="REF/README.md:131-179",
    required=phrase("the official articles or token ids"),
    departure="dataset",
)
def _data_set(evidence: Evidence) -> Finding:
    flags, data = evidence.flags, evidence.config["dataset"]
    because = data["unofficial_because"] or _recorded(evidence, "dataset")
    if because is None and flags.dataset != "cnndm":
        because = phrase("The data set is {dataset}, not CNN/DailyMail.", dataset=flags.dataset)
    if because is None:
        return passed(data["source"])
    edge = flags.category == "edge"
    way_out = (
        phrase("Give --dataset-path {file}.", file=EDGE_FILE)
        if edge
        else phrase("Leave out --dataset.")
    )
    if not edge and flags.dataset_path:
        way_out = phrase("Leave out --dataset-path, or give the official cnn_eval.json.")
    return failed(data["source"], joined(" ", [because, way_out]), full_run(evidence))


@rule(
    "prompt",
    OFFICIAL,
    source="REF/download_cnndm.py:90-93",
    required=phrase("the official prompt, without a chat template"),
    departure="chat_template",
)
def _prompt(evidence: Evidence) -> Finding:
    # A run that does not say is one of before, when there was no other prompt.
    if not evidence.config["dataset"].get("chat_template", False):
        return passed(phrase("no chat template"))
    text = phrase(
        "The prompts stand in the model's chat template; the official ones are bare. "
        "Llama-3.1 gets them so: leave out --model."
    )
    return failed(phrase("in a chat template"), text, full_run(evidence))


@rule(
    "precision", OFFICIAL, source="rules:680-701", required=phrase("the precision is the one named")
)
def _precision(evidence: Evidence) -> Finding:
    precision, engine = evidence.flags.precision, evidence.config["resolved"]["engine"]
    quantization, cache = engine.get("quantization"), engine.get("kv_cache_dtype")
    came = quantised.quantization(evidence.config)
    if came is None:
        parts = [phrase("{dtype} weights", dtype=engine.get("dtype"))]
    else:
        parts = [
            phrase("{label}, as the checkpoint came", label=came["label"]),
            phrase("{dtype} arithmetic", dtype=engine.get("dtype")),
        ]
        cache = came.get("kv_cache") if cache in _SAME_AS_WEIGHTS else cache
    parts += (
        [phrase("quantised to {quantization}", quantization=quantization)] if quantization else []
    )
    parts += [phrase("KV cache in {cache}", cache=cache)] if cache not in _SAME_AS_WEIGHTS else []
    formats = joined(", ", parts)
    expected = _FP8 if precision == "fp8" else (None,)
    if engine.get("dtype") != _DTYPES[precision] or quantization not in expected:
        text = phrase(
            "The run calls itself {precision}, but the engine ran with {formats}. Say with "
            "--precision what is to run, so that the report names what was measured.",
            precision=precision,
            formats=formats,
        )
        return failed(formats, text, full_run(evidence))
    if came or quantization or cache not in _SAME_AS_WEIGHTS:
        return passed(
            phrase(
                "{formats} (allowed; a submission describes it in its calibration.md)",
                formats=formats,
            )
        )
    return passed(formats)


@rule(
    "prefix-caching",
    OFFICIAL,
    source="rules:459-460,773,895-905",
    required=phrase("prefix caching is off"),
    departure="prefix_caching",
)
def _prefix_caching(evidence: Evidence) -> Finding:
    # vLLM's own default is on, so a run that does not say is one that had it.
    if evidence.config["resolved"]["engine"].get("enable_prefix_caching", True) is False:
        return passed(phrase("off"))
    text = phrase(
        "Prefix caching was on: vLLM could reuse work from one query for the next, which the "
        "rules forbid. Leave out --engine-arg enable_prefix_caching."
    )
    return failed(phrase("on"), text, full_run(evidence))


@rule(
    "engine-args",
    OFFICIAL,
    source="rules:752-775",
    required=phrase("no engine argument beyond tuning"),
    departure="engine_args",
)
def _engine_args(evidence: Evidence) -> Finding:
    given = evidence.flags.engine_args
    unusual = beyond_tuning(given)
    if not unusual:
        return passed(", ".join(given) or phrase("none"))
    names = ", ".join(unusual)
    text = phrase(
        "The engine was given {names}, and nobody has checked that the rules allow it. Leave "
        "it out of the --engine-arg flags.",
        names=names,
    )
    return failed(names, text, full_run(evidence))


@rule(
    "gate-share",
    OFFICIAL,
    source="CHK/constants.py:1153-1176",
    required=phrase("the gate is 99 % of the reference"),
    departure="high_accuracy",
)
def _gate_share(evidence: Evidence) -> Finding:
    if not evidence.flags.high_accuracy:
        return passed("99 %")
    text = phrase(
        "The answers were judged at 99.9 % of the reference; this model has no such variant, "
        "its gate is 99 %. Leave out --high-accuracy."
    )
    return failed("99.9 %", text, full_run(evidence))


SETTINGS = (
    _whole_data_set,
    _model,
    _weights,
    _data_set,
    _prompt,
    _precision,
    *ANSWERS,
    _prefix_caching,
    _engine_args,
    _gate_share,
)
