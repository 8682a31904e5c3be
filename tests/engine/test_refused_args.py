"""Which --engine-arg vLLM refused, by its own errors."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engine import causes, refused_args
from tests.engine.plans import LLAMA_FOLDER


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": "abc"}, "seed=abc: Input should be a valid integer"),
        ({"enforce_eager": "maybe", "block_size": 16}, "enforce_eager=maybe: Input should be a "),
        ({"kv_cache_dtype": "zzz"}, "kv_cache_dtype=zzz: Input should be 'auto', 'float16'"),
        ({"compilation_config": "{bad"}, "compilation_config={bad: Input should be a dictionary"),
        ({"compilation_config": {"mod": 3}}, 'compilation_config={"mod": 3}: mod: Unexpected'),
        (
            {"max_num_batched_tokens": 1, "max_num_seqs": 4},
            "max_num_batched_tokens=1: max_num_batched_tokens (1) ",
        ),
        (
            {"linear_backend": "auto", "kv_cache_dtype": "zzz"},
            "kv_cache_dtype=zzz: Input should be 'auto'",
        ),
        ({"attention_backend": "NOPE"}, "attention_backend=NOPE: Unknown attention backend"),
    ],
    ids=str,
)
def test_the_argument_and_what_is_wrong_with_it_are_named(given: dict[str, Any], said: str) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    of_run = {"model": str(LLAMA_FOLDER), "skip_tokenizer_init": True, "max_model_len": 512}
    with pytest.raises(ValueError) as raised:
        AsyncEngineArgs(**of_run | given).create_engine_config()
    sentence = refused_args.named_by(raised.value, given)

    assert str(sentence).startswith(f"vLLM refuses --engine-arg {said}")
    assert causes.way_out(str(sentence)) == "Correct its value, or leave it out."


def test_an_error_about_something_else_names_no_argument() -> None:
    of_the_cache = ValueError("No available memory for the cache blocks.")
    of_memory = RuntimeError("CUDA out of memory. Please try lowering `max_num_seqs`.")

    assert refused_args.named_by(of_the_cache, {"max_num_seqs": 8}) is None
    assert refused_args.named_by(of_the_cache, {}) is None
    assert refused_args.named_by(of_memory, {"max_num_seqs": 8}) is None
