"""The words for the number formats of a run, from what its config.json holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.language import phrase


def quantization(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the weights had been quantised before they came; None: they had not been.

    A run of an earlier version, which did not look, has none either.
    """
    model = config.get("model")
    found = model.get("quantization") if isinstance(model, Mapping) else None
    return found if isinstance(found, dict) and isinstance(found.get("label"), str) else None


def label(config: Mapping[str, Any]) -> str | None:
    """Those weights in a few words, "int4 weights by awq"; None: bf16 as published."""
    found = quantization(config)
    return None if found is None else str(found["label"])


def of(config: Mapping[str, Any]) -> str:
    """What a run computed with, in words."""
    return in_words(config["flags"]["precision"], label(config))


def in_words(precision: str, quantised: str | None) -> str:
    """ "bf16", or "int4 weights by awq, bf16 arithmetic" where they came as `quantised`."""
    return (
        precision
        if quantised is None
        else phrase("{quantised}, {precision} arithmetic", quantised=quantised, precision=precision)
    )


def of_products(flag: str, activations: str | None) -> str:
    """The number format that layers multiply in, as --precision spells it.

    `activations` is the format that a quantised checkpoint asks for; None: it asks for none.
    """
    return "fp8" if activations == "fp8" else flag
