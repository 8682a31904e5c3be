"""A tiny Llama for machines with neither a GPU nor a model licence, built once from a seed.

It has the real model's architecture and a tokenizer of the real one's kind, so that the whole way
from text to report runs in seconds on a CPU. What it says means nothing: the prompt picks a word,
and the words of the shipped articles follow in their order until one of them ends the answer.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.inputs import model_files, weight_files
from harness.inputs.cache import cache_folder

FloatArray = npt.NDArray[np.float64]

ARTICLES = Path(__file__).parent / "data" / "sample_articles.json"
SEED = 13  # of forty tried, the one whose first words differ most and are never near-ties
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
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 256,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}
# Standard deviations of the random matrices, times the square root of their fan-in. Queries and
# keys are wide, so that each head looks at a few words rather than at the average of all, and two
# prompts are not the same to the model.
WEIGHT_SCALES = {
    "q_proj": 2.2,
    "k_proj": 2.2,
    "v_proj": 1.5,
    "o_proj": 1.5,
    "gate_proj": 1.0,
    "up_proj": 1.0,
    "down_proj": 1.0,
}
WORD_SCALE = 5.0  # of embeddings; above what the layers add, so a word is known to the end
OTHER_SCALE = 0.3  # a prompt ends in ":", which must not drown what the layers found in its text
OUTPUT_SCALE = 0.5  # logits spread over a few units
END_FEATURE = 0  # the hidden dimension that no layer writes to; set by words that end an answer
END_SCALE = 160.0  # longer than any embedding, so that the end outbids the next word
WORDS_PER_END = 400  # at 128 new tokens, about three answers in ten end by themselves


def ensure_demo_model() -> Path:
    """The folder of the demo model, built on first use (a few seconds).

    Its name holds a hash of everything it is made from, so a changed recipe builds a new one.
    Raises UsageError when the cache folder cannot be written.
    """
    folder = cache_folder() / f"demo-{_recipe_hash()}"
    if _is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".demo-", dir=folder.parent) as scratch:
            unfinished = Path(scratch) / "model"
            unfinished.mkdir()
            build_demo_model(unfinished)
            if folder.is_dir() and not _is_whole(folder):  # somebody tidied up the cache
                folder.rename(Path(scratch) / "damaged")
            _rename_unless_there(unfinished, folder)
    except OSError as error:
        raise UsageError(
            f"--model demo is built under {folder.parent}, which cannot be written "
            f"({error.strerror or error}); set XDG_CACHE_HOME to a folder that can."
        ) from error
    return folder


def build_demo_model(folder: Path) -> None:
    """Writes tokenizer, weights and configs into an empty folder; the same bytes every time."""
    token_ids = _build_tokenizer(folder)
    specials = {
        "bos_token_id": token_ids[BOS],
        "eos_token_id": [token_ids[EOS], token_ids[TURN_END]],
    }
    _write_weights(folder / "model.safetensors", token_ids)
    _write_json(folder / "generation_config.json", {"do_sample": False, **specials})
    shape = {**MODEL_CONFIG, "vocab_size": len(token_ids)}
    _write_json(folder / "config.json", {**shape, **specials})


def _recipe_hash() -> str:
    """Of this file and the articles: whatever changes the model changes its folder."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(ARTICLES.read_bytes())
    return digest.hexdigest()[:12]


def _is_whole(folder: Path) -> bool:
    if not (folder / "config.json").is_file() or not model_files.has_tokenizer(folder):
        return False
    return weight_files.missing(folder) is None and weight_files.damaged(folder) is None


def _rename_unless_there(unfinished: Path, folder: Path) -> None:
    """Another process may have been faster; its model is the same, so it stays."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not _is_whole(folder):
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


def _articles() -> list[dict[str, str]]:
    articles: list[dict[str, str]] = json.loads(ARTICLES.read_text(encoding="utf-8"))
    return articles


def _training_texts() -> list[str]:
    texts = [entry[name] for entry in _articles() for name in ("instruction", "input", "output")]
    return [*texts, *[CHOICES] * CHOICES_REPEATS]


def _write_weights(path: Path, token_ids: dict[str, int]) -> None:
    """Writes bf16 weights drawn by numpy, whose generators give the same numbers everywhere.

    The layers are random. A random output matrix on top would leave the best two tokens so close
    that rounding decides, and answers would change with the batch. So each word's output row is the
    embedding of the word before it in the articles: the prompt decides the first word of an answer,
    and from there the words of the articles follow, each said once, with a clear best at each step.
    """
    import torch
    from safetensors.torch import save_file

    rng = np.random.Generator(np.random.PCG64(SEED))
    hidden, inner = MODEL_CONFIG["hidden_size"], MODEL_CONFIG["intermediate_size"]
    width = MODEL_CONFIG["head_dim"]
    queries = MODEL_CONFIG["num_attention_heads"] * width
    keys = MODEL_CONFIG["num_key_value_heads"] * width
    arrays: dict[str, FloatArray] = {}
    for layer in range(MODEL_CONFIG["num_hidden_layers"]):
        for name, rows, columns in (
            ("self_attn.q_proj", queries, hidden),
            ("self_attn.k_proj", keys, hidden),
            ("self_attn.v_proj", keys, hidden),
            ("self_attn.o_proj", hidden, queries),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ):
            kind = name.split(".")[1]
            matrix = rng.standard_normal((rows, columns)) * WEIGHT_SCALES[kind] / np.sqrt(columns)
            if kind in ("o_proj", "down_proj"):
                matrix[END_FEATURE] = 0.0
            arrays[f"model.layers.{layer}.{name}.weight"] = matrix
        for name in ("input_layernorm", "post_attention_layernorm"):
            arrays[f"model.layers.{layer}.{name}.weight"] = np.ones(hidden)
    arrays["model.norm.weight"] = np.ones(hidden)
    arrays["model.embed_tokens.weight"], arrays["lm_head.weight"] = _word_tables(rng, token_ids)
    tensors = {name: torch.from_numpy(array).to(torch.bfloat16) for name, array in arrays.items()}
    save_file(tensors, str(path), metadata={"format": "pt"})


def _word_tables(
    rng: np.random.Generator, token_ids: dict[str, int]
) -> tuple[FloatArray, FloatArray]:
    """Embeddings and output matrix, both vocabulary x hidden. Only words and the end are said."""
    words = _words_in_order(token_ids)
    embeddings = rng.standard_normal((len(token_ids), MODEL_CONFIG["hidden_size"]))
    embeddings[:, END_FEATURE] = 0.0
    output = np.zeros_like(embeddings)
    output[words] = OUTPUT_SCALE * embeddings[np.roll(words, 1)]
    output[token_ids[EOS], END_FEATURE] = OUTPUT_SCALE * np.sqrt(MODEL_CONFIG["hidden_size"])
    scales = np.full(len(token_ids), OTHER_SCALE)
    scales[words] = WORD_SCALE
    embeddings *= scales[:, None]
    embeddings[words[WORDS_PER_END - 1 :: WORDS_PER_END], END_FEATURE] = END_SCALE
    return embeddings, output


def _words_in_order(token_ids: dict[str, int]) -> list[int]:
    """The tokens that are words of the articles, by first appearance, and the four choices."""
    texts = " ".join(entry["input"] for entry in _articles())
    written = re.findall(r"(?<= )[A-Za-z]+\b", texts)
    space = "\u0120"  # as byte-level tokenizers write it
    tokens = dict.fromkeys(f"{space}{word}" for word in (*written, *"ABCD"))
    return [token_ids[token] for token in tokens if token in token_ids]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
