"""A Llama in a GGUF file to a folder in the hub's format, weights in bf16.

transformers can read such a file too. It needs another package for that, takes the beginning token
for the end token, and does not cut numbers into digits as this kind of tokenizer does.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

SPECIAL_TOKEN = 3  # GGUF's tokenizer.ggml.token_type
# GGUF's names of a layer's parts and the hub's.
LAYER_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_PARTS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def convert(gguf_file: Path, folder: Path) -> None:
    """Writes configs, weights and tokenizer to an empty folder. Raises OSError."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf_file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    config = _config(fields, tied=all(one.name != "output.weight" for one in reader.tensors))
    _write_weights(folder / "model.safetensors", reader, config)
    _write_tokenizer(folder, fields)
    generation = {"do_sample": False, **_special_ids(fields)}
    _write_json(folder / "generation_config.json", generation)
    _write_json(folder / "config.json", config)


def _special_ids(fields: dict[str, Any]) -> dict[str, int]:
    names = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {
        f"{ours}_token_id": int(fields[f"tokenizer.ggml.{theirs}_token_id"])
        for ours, theirs in names.items()
    }


def _config(fields: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    heads = int(fields["llama.attention.head_count"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": int(fields["llama.rope.dimension_count"]),
        "hidden_act": "silu",
        "hidden_size": int(fields["llama.embedding_length"]),
        "initializer_range": 0.02,
        "intermediate_size": int(fields["llama.feed_forward_length"]),
        "max_position_embeddings": int(fields["llama.context_length"]),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": int(fields["llama.block_count"]),
        "num_key_value_heads": int(fields.get("llama.attention.head_count_kv", heads)),
        # As single floats read out: 9.999999747378752e-06 is 1e-05.
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": float(fields["llama.rope.freq_base"]),
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": int(fields["llama.vocab_size"]),
        **_special_ids(fields),
    }


def _write_weights(path: Path, reader: Any, config: dict[str, Any]) -> None:
    import torch
    from gguf import dequantize
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {}
    for one in reader.tensors:
        matrix: Matrix = dequantize(one.data, one.tensor_type)
        heads = {
            "attn_q": config["num_attention_heads"],
            "attn_k": config["num_key_value_heads"],
        }.get(one.name.split(".")[-2])
        if heads:
            matrix = halves_apart(matrix, heads)
        tensors[hub_name(one.name)] = torch.tensor(matrix).to(torch.bfloat16)
    try:
        save_file(tensors, str(path), metadata={"format": "pt"})
    except SafetensorError as error:
        # Its own class even where only the disk is full: "I/O error: ... (os error 28)".
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        raise


def hub_name(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` for `blk.3.ffn_up.weight`."""
    if name in OTHER_PARTS:
        return OTHER_PARTS[name]
    _, layer, part, weight = name.split(".")
    return f"model.layers.{layer}.{LAYER_PARTS[part]}.{weight}"


def halves_apart(matrix: Matrix, heads: int) -> Matrix:
    """The rows of each head as transformers rotates them: first half, second half.

    GGUF has the two rows that are rotated together side by side.
    """
    rows, columns = matrix.shape
    pairs = matrix.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _write_tokenizer(folder: Path, fields: dict[str, Any]) -> None:
    """A byte-level tokenizer of the kind GGUF calls smollm: each digit is a word of its own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == SPECIAL_TOKEN]
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in special]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {name.removesuffix("_id"): tokens[i] for name, i in _special_ids(fields).items()}
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **names,
            "clean_up_tokenization_spaces": False,
            "model_max_length": int(fields["llama.context_length"]),
            "chat_template": fields["tokenizer.chat_template"],
        },
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
