"""A tiny GGUF file of random numbers, and the folder that is made of it."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.inputs import gguf_model

HEADS, KV_HEADS, WIDTH, HIDDEN, INNER, LAYERS = 4, 2, 8, 32, 64, 2
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def letters() -> list[str]:
    """The byte-level alphabet: a token for each byte."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters(), "Ġ1", "12", "in"]


def matrices() -> dict[str, Any]:
    """The weights by the names they have on the hub."""
    rng = np.random.default_rng(0)
    shapes = {
        "model.embed_tokens": (len(TOKENS), HIDDEN),
        "model.norm": (HIDDEN,),
    }
    for layer in range(LAYERS):
        for name, shape in {
            "input_layernorm": (HIDDEN,),
            "post_attention_layernorm": (HIDDEN,),
            "self_attn.q_proj": (HEADS * WIDTH, HIDDEN),
            "self_attn.k_proj": (KV_HEADS * WIDTH, HIDDEN),
            "self_attn.v_proj": (KV_HEADS * WIDTH, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HEADS * WIDTH),
            "mlp.gate_proj": (INNER, HIDDEN),
            "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER),
        }.items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    return {
        f"{name}.weight": rng.standard_normal(shape, dtype=np.float32)
        for name, shape in shapes.items()
    }


def rotated_together(matrix: Any, heads: int) -> Any:
    """As llama.cpp's convert_hf_to_gguf.py lays the rows of queries and keys out (`permute`)."""
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of two layers."""
    from gguf import GGUFWriter

    here = tmp_path_factory.mktemp("gguf")
    writer = GGUFWriter(here / "tiny.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * 3 + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["Ġ 1", "1 2", "i n"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    ours = {hub: gguf for gguf, hub in gguf_model.OTHER_PARTS.items()}
    parts = {hub: gguf for gguf, hub in gguf_model.LAYER_PARTS.items()}
    for name, matrix in matrices().items():
        if name in ours:
            writer.add_tensor(ours[name], matrix)
            continue
        layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        heads = {"self_attn.q_proj": HEADS, "self_attn.k_proj": KV_HEADS}.get(part)
        laid_out = rotated_together(matrix, heads) if heads else matrix
        writer.add_tensor(f"blk.{layer}.{parts[part]}.weight", laid_out)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return here / "tiny.gguf"


@pytest.fixture(scope="module")
def folder(tiny: Path) -> Path:
    model = tiny.with_name("model")
    model.mkdir()
    gguf_model.convert(tiny, model)
    return model


def test_every_weight_is_the_one_it_was_in_bf16(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    written = load_file(folder / "model.safetensors")

    expected = matrices()
    assert written.keys() == expected.keys()
    for name, matrix in expected.items():
        assert torch.equal(written[name], torch.from_numpy(matrix).to(torch.bfloat16)), name


def test_transformers_loads_it_with_its_own_output_matrix(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)

    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.generation_config.eos_token_id == 2
    config = json.loads((folder / "config.json").read_text())
    assert (config["rms_norm_eps"], config["rope_theta"]) == (1e-05, 100000.0)
    assert config["tie_word_embeddings"] is True


def test_the_tokenizer_makes_a_word_of_each_digit_and_keeps_special_tokens_whole(
    folder: Path,
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.tokenize("in 12") == ["in", "Ġ", "1", "2"]
    text = "naïve 😀 서울\n<|im_end|>"
    ids = tokenizer.encode(text)
    assert ids[-1] == 2
    assert tokenizer.decode(ids) == text
    said = tokenizer.apply_chat_template([{"role": "user", "content": "in"}], tokenize=False)
    assert tokenizer.encode(said, add_special_tokens=False) == [1, TOKENS.index("in"), 2]


def test_a_full_disk_is_an_error_of_the_disk_also_where_safetensors_writes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def full(*_arguments: Any, **_options: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)

    with pytest.raises(OSError, match="No space left") as raised:
        gguf_model.convert(tiny, tmp_path)
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("gguf", "hub"),
    [
        ("blk.29.ffn_down.weight", "model.layers.29.mlp.down_proj.weight"),
        ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
        ("output.weight", "lm_head.weight"),
    ],
)
def test_each_tensor_gets_the_hubs_name(gguf: str, hub: str) -> None:
    assert gguf_model.hub_name(gguf) == hub
