"""How a checkpoint was quantised before it came here, as its own config files say.

Each tool writes it in a way of its own; what vLLM makes of it is in its
model_executor/layers/quantization and transformers_utils/model_arch_config_convertor.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.inputs import model_files

HALF_BITS = 16  # of what is not quantised, and of a scale
# ModelOpt before 0.31 wrote a file of its own; compressed-tensors once used another key.
OLD_FILE = "hf_quant_config.json"
KEYS = ("quantization_config", "compression_config")
_NUMBER_FORMAT = re.compile(r"(nv|mx)?(int|uint|fp|float|nf)[_-]?(\d+)")
_MODELOPT = ("modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed")


@dataclass(frozen=True)
class Quantization:
    """What became of the weights before they came here. An unknown is None or empty."""

    method: str  # as vLLM spells it
    formats: tuple[str, ...]  # of the quantised weights: "int4", "fp8"; several where layers differ
    group_size: int | None  # weights that share a scale
    activations: str | None  # the format that inputs are quantised to; None: they are not
    kv_cache: str | None  # the format the checkpoint asks for; None: that of the arithmetic
    stored_bytes: int | None  # of the weight files; None: they are not here
    config: dict[str, Any] = field(repr=False)  # as it stands in the checkpoint

    @property
    def label(self) -> str:
        """In a few words: "int4 weights by awq"."""
        weights = f"{self.weight_formats} weights" if self.formats else "weights quantised"
        return f"{weights} by {self.method}"

    @property
    def weight_formats(self) -> str:
        """The formats of the weights, joined; empty where they are not known."""
        return " and ".join(self.formats)

    @property
    def bits(self) -> float | None:
        """Bits of a quantised weight with its part of a scale; the most where layers differ."""
        known = [int(digits[-1]) for name in self.formats if (digits := re.findall(r"\d+", name))]
        if not known:
            return None
        return max(known) + (HALF_BITS / self.group_size if self.group_size else 0)

    def to_json(self) -> dict[str, Any]:
        """Its part of config.json's `model`."""
        return {
            "method": self.method,
            "label": self.label,
            "formats": list(self.formats),
            "bits": self.bits,
            "group_size": self.group_size,
            "activations": self.activations,
            "kv_cache": self.kv_cache,
            "config": self.config,
        }


def read(requested: str, folder: Path, config: Mapping[str, Any]) -> Quantization | None:
    """How the checkpoint of a folder, with this config.json, is quantised; None: it is not.

    Raises UsageError where its files cannot be understood, so that nothing is taken for bf16.
    """
    found = next((config[key] for key in KEYS if config.get(key) is not None), None)
    if found is None and (folder / OLD_FILE).is_file():
        found = model_files.read_object(requested, folder / OLD_FILE)
    if found is None:
        return None
    method = _method(found) if isinstance(found, dict) else ""
    if not method:
        raise UsageError(
            f"--model {requested}: its weights are quantised, but {KEYS[0]} in its config.json "
            "names no quant_method; download it again, or give the weights before quantisation."
        )
    return Quantization(
        method=method,
        formats=tuple(dict.fromkeys(_formats(method, found))),
        group_size=_group_size(found),
        activations=_activations(method, found),
        kv_cache=_kv_cache(found),
        stored_bytes=_stored_bytes(folder),
        config=found,
    )


def _method(found: Mapping[str, Any]) -> str:
    """vLLM's name of the scheme. ModelOpt's has several, by the algorithm."""
    method = found.get("quant_method")
    method = method.lower() if isinstance(method, str) else ""
    if method.startswith("modelopt") or _part(found, "producer", "name") == "modelopt":
        algorithm = _algorithm(found)
        kinds = {"MXFP8": "modelopt_mxfp8", "FP4": "modelopt_fp4", "MIXED": "modelopt_mixed"}
        return next((kinds[kind] for kind in kinds if kind in algorithm), "modelopt")
    return {"auto-round": "inc", "compressed_tensors": "compressed-tensors"}.get(method, method)


def _formats(method: str, found: Mapping[str, Any]) -> Iterator[str]:
    """The number formats of the weights."""
    groups = list(_groups(found))
    if groups:
        yield from (_scheme(group.get("weights")) for group in groups if group.get("weights"))
    elif method in _MODELOPT:
        yield from _named(_algorithm(found))
    elif method == "bitsandbytes":
        four = found.get("load_in_4bit") or found.get("_load_in_4bit")
        kind = str(found.get("bnb_4bit_quant_type") or "fp4")
        yield f"{kind.rstrip('0123456789')}4" if four else "int8"
    elif "fp8" in method:
        yield "fp8"
    elif bits := _whole(found.get("bits") or found.get("w_bit") or found.get("nbits")):
        yield f"{'fp' if 'fp' in str(found.get('data_type')) else 'int'}{bits}"
    elif named := list(_named(method)):
        yield from named
    else:
        weights = _part(found, "global_quant_config", "weight")
        weights = weights if isinstance(weights, list) else [weights]
        texts = [str(_part(one, "dtype") or "") for one in weights]
        texts.append(str(found.get("quant_type") or ""))
        for text in texts:
            yield from list(_named(text))[:1]


def _groups(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    groups = found.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        if isinstance(group, dict):
            yield group


def _scheme(scheme: Any) -> str:
    """A number format as compressed-tensors writes it: {"num_bits": 4, "type": "int"}."""
    kind = {"float": "fp"}.get(str(_part(scheme, "type")), str(_part(scheme, "type") or "int"))
    return f"{kind}{_whole(_part(scheme, 'num_bits')) or '?'}"


def _named(text: str) -> Iterator[str]:
    """The number formats in a name: fp8 in "FP8_PER_CHANNEL", int4 in "Int4WeightOnlyConfig"."""
    lowered = text.lower()
    for kind, number, bits in _NUMBER_FORMAT.findall(lowered):
        yield f"{kind}{number.replace('float', 'fp')}{bits}"
    for bits in re.findall(r"w(\d+)a\d+", lowered):
        yield f"int{bits}"


def _algorithm(found: Mapping[str, Any]) -> str:
    """ModelOpt's name, such as "FP8" or "NVFP4"."""
    return str(found.get("quant_algo") or _part(found, "quantization", "quant_algo") or "").upper()


def _group_size(found: Mapping[str, Any]) -> int | None:
    sizes = [found.get("group_size"), found.get("q_group_size")]
    sizes += [_part(found, "quantization", "group_size")]
    sizes += [_part(group, "weights", "group_size") for group in _groups(found)]
    return next((size for size in map(_whole, sizes) if size), None)


def _activations(method: str, found: Mapping[str, Any]) -> str | None:
    """The format of the inputs; weights alone are quantised by most schemes of 4 bits."""
    for group in _groups(found):
        if group.get("input_activations"):
            return _scheme(group["input_activations"])
    if "activation_scheme" in found or method == "fbgemm_fp8":
        return "fp8"
    algorithm = _algorithm(found)
    return algorithm.lower() if algorithm in ("FP8", "NVFP4", "MXFP8") else None


def _kv_cache(found: Mapping[str, Any]) -> str | None:
    if scheme := found.get("kv_cache_scheme"):
        return _scheme(scheme)
    algorithm = found.get("kv_cache_quant_algo") or _part(
        found, "quantization", "kv_cache_quant_algo"
    )
    return str(algorithm).lower() if algorithm else None


def _stored_bytes(folder: Path) -> int | None:
    """Bytes of the weight files that are loaded; None where they are not here."""
    for pattern in ("*.safetensors", "*.bin"):
        # "consolidated" are the same weights once more, by the names of another library.
        files = [path for path in folder.glob(pattern) if not path.name.startswith("consolidated")]
        if files:
            return sum(path.stat().st_size for path in files)
    return None


def _part(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
