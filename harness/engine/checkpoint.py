"""Checkpoints that come quantised, held against the flags and against the installed vLLM."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.engine import inspection
from harness.engine.settings import dtype_of
from harness.errors import UsageError, first_line
from harness.inputs.model_source import ModelSource
from harness.inputs.quantization import Quantization
from harness.terminal import output_to


def check(config: RunConfig, model: ModelSource) -> None:
    """Refuses quantised weights that this vLLM cannot run as asked. Imports vLLM for such alone."""
    quantization = model.quantization
    if quantization is None:
        return
    if config.precision == "fp8":
        raise UsageError(
            f"--precision fp8: {model.requested} comes quantised ({quantization.label}), and "
            "nothing is quantised twice; use --precision bf16, which leaves its weights as they "
            "are, or give the weights before quantisation."
        )
    if quantization.method == "gptq" and config.weights == "dummy":
        _check_layers_are_known(model, quantization)
    architectures = model.config.get("architectures") or ()
    with output_to(Path(os.devnull)), inspection.beside(architectures):
        objection = _objection(quantization, dtype_of(config), config.engine_args)
        if objection is not None:
            raise UsageError(
                f"--model {model.requested} has {quantization.label}, and {objection}; give it in "
                "another scheme, or as it was before quantisation."
            )


def _check_layers_are_known(model: ModelSource, quantization: Quantization) -> None:
    """vLLM tells GPTQ's layers by the weight files, and would take all others for bf16."""
    if quantization.config.get("modules_in_block_to_quantize"):
        return
    if not any(Path(model.path).glob("*.safetensors")):
        raise UsageError(
            f"--weights dummy: {model.requested} comes quantised ({quantization.label}), and vLLM "
            "reads from its weight files which layers are; they are not here, so all of them would "
            "run in bf16. Give a folder that holds the files, or leave out --weights."
        )


def _objection(quantization: Quantization, dtype: str, given: Mapping[str, Any]) -> str | None:
    """Why the installed vLLM would refuse such weights; None: it would not."""
    from vllm.model_executor.layers import quantization as schemes
    from vllm.platforms import current_platform

    method = quantization.method
    if method not in schemes.QUANTIZATION_METHODS:
        known = ", ".join(sorted(schemes.QUANTIZATION_METHODS))
        return f"the installed vLLM does not know {method} (it knows {known})"
    retired = getattr(schemes, "DEPRECATED_QUANTIZATION_METHODS", ())
    if method in retired and not given.get("allow_deprecated_quantization"):
        return f"the installed vLLM is giving {method} up"
    try:
        current_platform.verify_quantization(method)
        scheme = schemes.get_quantization_config(method)
        if method != "modelopt_mixed":  # which vLLM completes from a second file
            scheme = scheme.from_config(copy.deepcopy(quantization.config))
            formats = [
                str(known).removeprefix("torch.") for known in scheme.get_supported_act_dtypes()
            ]
            if dtype not in formats:
                return f"{method} computes in {', '.join(formats)}, not in {dtype}"
    except Exception as error:  # whatever vLLM raises here, it would raise while loading
        return f"vLLM refuses it ({first_line(error)})"
    capability = current_platform.get_device_capability()
    if capability is not None and capability.to_int() < scheme.get_min_capability():
        return f"{method} needs a GPU of compute capability {scheme.get_min_capability() / 10:g}"
    return None
