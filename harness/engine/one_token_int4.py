"""A Llama for one query at a time with weights of 4 bits, as a checkpoint brings them.

vLLM's worker processes import this module by the name that harness/engine/one_query.py gives them,
and in a run nothing else does: importing it registers a linear kernel. Prompts multiply by Machete,
vLLM's own choice on a Hopper GPU, which lays weights in an order of its own; for the steps of one
token a second copy is kept, 3.6 GB of Llama-3.1-8B.
"""

from __future__ import annotations

import torch
from vllm.model_executor.kernels.linear import (
    MacheteLinearKernel,
    MPLinearLayerConfig,
    register_linear_kernel,
)
from vllm.platforms import PlatformEnum
from vllm.scalar_type import scalar_types

from harness.engine import one_token
from harness.engine.one_token_int4_products import packed
from harness.engine.weights import INT4_GROUP


class WorkerExtension(one_token.WorkerExtension):
    """What vLLM asks for, to import both modules in its workers."""


class KeepingLinearKernel(MacheteLinearKernel):
    """Machete, beside which the weights stay as one_token_int4_products.py reads them."""

    @classmethod
    def can_implement(cls, c: MPLinearLayerConfig) -> tuple[bool, str | None]:
        """Whether these weights are those of harness/engine/weights.py, and why not."""
        if c.weight_type != scalar_types.uint4b8 or c.group_size != INT4_GROUP:
            return False, f"needs 4 bits and a scale for each {INT4_GROUP} inputs"
        if c.has_g_idx or c.act_type != torch.bfloat16:
            return False, "needs inputs in their order, in bfloat16"
        by_machete: tuple[bool, str | None] = super().can_implement(c)
        return by_machete

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Keeps the weights in `one_token_weight` and `one_token_scales`, an output a row."""
        words, scales = getattr(layer, self.w_q_name), getattr(layer, self.w_s_name)
        layer.one_token_weight = packed(_by_output(words))
        layer.one_token_scales = _by_output(scales).clone()
        super().process_weights_after_loading(layer)


def _by_output(parameter: torch.Tensor) -> torch.Tensor:
    """A weight of vLLM's, which says of itself which way it lies, as (outputs, ...)."""
    by_output = parameter.data if parameter.output_dim == 0 else parameter.data.t()
    return by_output.contiguous()


register_linear_kernel(KeepingLinearKernel, PlatformEnum.CUDA, "mp")
