"""A tiny Llama for machines with neither a GPU nor a model licence, built once from a seed.

It has the real model's architecture and a tokenizer of the real one's kind, so that the whole way
from text to report runs in seconds on a CPU. Its weights are random: what it says means nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError

ARTICLES = Path(__file__).parent / "data" / "sample_articles.json"
SEED = 20
VOCAB_SIZE = 4096
BOS, EOS, HEADER, HEADER_END, TURN_END = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
SPECIAL_TOKENS = (BOS, EOS, HEADER, HEADER_END, TURN_END)
# How Llama-3 cuts text into words before the byte pairs are merged.
WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Llama-3's turns; the template itself writes BOS, so its text is tokenised without adding another.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Multiple choice asks for " A" to " D" as single tokens; repeated, so that they are merged first.
CHOICES = (
    "Question: ...\nA. one\nB. two\nC. three\nD. four\nAnswer: A\nAnswer: B\nAnswer: C\nAnswer: D\n"
)
CHOICES_REPEATS = 40

MODEL_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}
# Standard deviations, times the square root of the fan-in where there is one. Queries and keys are
# wide, so that each head looks at a few words of the article rather than at the average of all:
# this makes answers differ from prompt to prompt. The output is wide, so the best token is clear.
WEIGHT_SCALES = {
    "embed": 1.0,
    "q_proj": 2.0,
    "k_proj": 2.0,
    "v_proj": 1.5,
    "o_proj": 1.5,
    "gate_proj": 1.0,
    "up_proj": 1.0,
    "down_proj": 1.0,
    "lm_head": 8.0,
}
EOS_SCALE = 1.3  # the end-of-text row is this much longer than a word's: some answers end early


def ensure_demo_model() -> Path:
    """The folder of the demo model, built on first use (a few seconds).

    Its name holds a hash of everything it is made from, so a changed recipe builds a new one.
    Raises UsageError when the cache folder cannot be written.
    """
    folder = _cache_folder() / f"demo-{_recipe_hash()}"
    if (folder / "config.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".demo-", dir=folder.parent))
    except OSError as error:
        raise UsageError(
            f"--model demo is built under {folder.parent}, which cannot be written "
            f"({error.strerror}); set XDG_CACHE_HOME to a folder that can."
        ) from error
    try:
        build_demo_model(unfinished)
        unfinished.chmod(0o755)  # mkdtemp makes folders for their owner alone
        _rename_unless_there(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def build_demo_model(folder: Path) -> None:
    """Writes tokenizer, weights and configs into an empty folder; the same bytes every time."""
    token_ids = _build_tokenizer(folder)
    vocab_size = len(token_ids)
    specials = {
        "bos_token_id": token_ids[BOS],
        "eos_token_id": [token_ids[EOS], token_ids[TURN_END]],
    }
    _write_weights(folder / "model.safetensors", token_ids)
    _write_json(
        folder / "generation_config.json",
        {"do_sample": False, **specials},
    )
    _write_json(folder / "config.json", {**MODEL_CONFIG, **specials, "vocab_size": vocab_size})


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mlperf-llama31-vllm"


def _recipe_hash() -> str:
    """Of this file and the articles: whatever changes the model changes its folder."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(ARTICLES.read_bytes())
    return digest.hexdigest()[:12]


def _rename_unless_there(unfinished: Path, folder: Path) -> None:
    """Another process may have been faster; its model is the same, so it stays."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not (folder / "config.json").is_file():
            raise


def _build_tokenizer(folder: Path) -> dict[str, int]:
    """Trains and writes the byte-level tokenizer; returns every token's id."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL_TOKENS),
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(), trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))  # last, as Llama-3 has them
    token_ids: dict[str, int] = tokenizer.get_vocab()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, token_ids[BOS])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "clean_up_tokenization_spaces": False,
            "model_max_length": MODEL_CONFIG["max_position_embeddings"],
            "chat_template": CHAT_TEMPLATE,
            "added_tokens_decoder": {
                str(token_ids[token]): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for token in SPECIAL_TOKENS
            },
        },
    )
    return token_ids


def _training_texts() -> list[str]:
    articles = json.loads(ARTICLES.read_text(encoding="utf-8"))
    texts = [entry[name] for entry in articles for name in ("instruction", "input", "output")]
    return [*texts, *[CHOICES] * CHOICES_REPEATS]


def _write_weights(path: Path, token_ids: dict[str, int]) -> None:
    """Random bf16 weights, drawn by numpy, whose generators give the same numbers everywhere."""
    import torch
    from safetensors.torch import save_file

    rng = np.random.Generator(np.random.PCG64(SEED))
    hidden, inner = MODEL_CONFIG["hidden_size"], MODEL_CONFIG["intermediate_size"]
    heads, kv_heads = MODEL_CONFIG["num_attention_heads"], MODEL_CONFIG["num_key_value_heads"]
    width = MODEL_CONFIG["head_dim"]
    arrays: dict[str, npt.NDArray[np.float32]] = {}

    def draw(name: str, kind: str, rows: int, columns: int, fan_in: int) -> None:
        scale = WEIGHT_SCALES[kind] / np.sqrt(fan_in)
        arrays[name] = (scale * rng.standard_normal((rows, columns))).astype(np.float32)

    draw("model.embed_tokens.weight", "embed", len(token_ids), hidden, 1)
    for layer in range(MODEL_CONFIG["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name, rows, columns in (
            ("self_attn.q_proj", heads * width, hidden),
            ("self_attn.k_proj", kv_heads * width, hidden),
            ("self_attn.v_proj", kv_heads * width, hidden),
            ("self_attn.o_proj", hidden, heads * width),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ):
            draw(f"{prefix}.{name}.weight", name.split(".")[1], rows, columns, columns)
        for name in ("input_layernorm", "post_attention_layernorm"):
            arrays[f"{prefix}.{name}.weight"] = np.ones(hidden, dtype=np.float32)
    arrays["model.norm.weight"] = np.ones(hidden, dtype=np.float32)
    draw("lm_head.weight", "lm_head", len(token_ids), hidden, hidden)
    arrays["lm_head.weight"] *= _row_scales(token_ids)[:, None]
    tensors = {name: torch.from_numpy(array).to(torch.bfloat16) for name, array in arrays.items()}
    save_file(tensors, str(path), metadata={"format": "pt"})


def _row_scales(token_ids: dict[str, int]) -> npt.NDArray[np.float32]:
    """Only words and the end of text are ever said: a row of zeros never has the highest logit."""
    scales = np.zeros(len(token_ids), dtype=np.float32)
    written = set(re.findall(r"(?<= )[A-Za-z]{3,}\b", " ".join(_training_texts())))
    for word in (*written, *"ABCD"):
        token_id = token_ids.get(f"\u0120{word}")  # how byte-level tokenizers write a leading space
        if token_id is not None:
            scales[token_id] = 1.0
    scales[token_ids[EOS]] = EOS_SCALE
    return scales


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
