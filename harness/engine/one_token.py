"""A Llama whose steps of one token run on kernels made for them.

vLLM's worker processes import this module by the name that harness/engine/one_query.py gives them,
and in a run nothing else does: importing it registers the model in place of vLLM's own. Steps of
more tokens, which is what a prompt is, run as in vLLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from vllm.forward_context import get_forward_context
from vllm.model_executor.models import ModelRegistry
from vllm.model_executor.models.llama import LlamaForCausalLM, LlamaModel

from harness.engine import one_token_int4_products, one_token_products
from harness.engine.one_token_attention import Scratch, attention


class WorkerExtension:
    """What vLLM asks for, to import this module in its workers; adds nothing to them."""


@dataclass(frozen=True)
class _Step:
    """Where the one token of a step is. The tensors are vLLM's own, and stay where they are."""

    positions: torch.Tensor
    seq_lens: torch.Tensor
    slot_mapping: torch.Tensor
    block_table: torch.Tensor


class OneTokenModel(LlamaModel):
    """vLLM's Llama, but for steps of one token."""

    _scratch: Scratch | None = None

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        **more: Any,
    ) -> Any:
        """The last hidden state of each token."""
        metadata = None
        if positions.shape[0] == 1 and not torch.compiler.is_compiling():
            metadata = get_forward_context().attn_metadata  # None while vLLM measures its memory
        if metadata is None:
            return super().forward(
                input_ids, positions, intermediate_tensors, inputs_embeds, **more
            )
        if self._scratch is None:
            heads = self.layers[0].self_attn.num_kv_heads
            self._scratch = Scratch(heads, positions.device)
        row = self.embed_input_ids(input_ids)
        for layer in self.layers:
            row = _through(layer, row, positions, metadata, self._scratch)
        return self.norm(row)


class OneTokenLlama(LlamaForCausalLM):
    """vLLM's Llama for causal language modelling, on OneTokenModel."""

    def _init_model(self, **arguments: Any) -> LlamaModel:
        return OneTokenModel(**arguments)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """The logits of each row."""
        if hidden_states.shape[0] != 1:
            return super().compute_logits(hidden_states)
        return one_token_products.product(hidden_states, self.lm_head.weight)


def _through(
    layer: Any,
    row: torch.Tensor,
    positions: torch.Tensor,
    metadata: Any,
    scratch: Scratch,
) -> torch.Tensor:
    """One row after one layer, the residual in it."""
    block, mlp = layer.self_attn, layer.mlp
    at = metadata[block.attn.layer_name]
    step = _Step(positions, at.seq_lens, at.slot_mapping, at.block_table)
    cache = block.attn.kv_cache.transpose(1, 2)
    if block.attn.kv_cache_dtype.startswith("fp8"):
        cache = cache.view(torch.float8_e4m3fn)
    scales = (block.attn._k_scale, block.attn._v_scale)
    qkv_proj, o_proj, gate_up, down = map(
        _by, (block.qkv_proj, block.o_proj, mlp.gate_up_proj, mlp.down_proj)
    )
    qkv = qkv_proj.norm_product(row, layer.input_layernorm, *_weights(block.qkv_proj))
    rotary = block.rotary_emb.cos_sin_cache
    attended = attention(qkv, rotary, step, cache, scales, scratch)
    row = o_proj.product(attended, *_weights(block.o_proj), residual=row)
    inner = gate_up.norm_gate_up(row, layer.post_attention_layernorm, *_weights(mlp.gate_up_proj))
    return down.product(inner, *_weights(mlp.down_proj), residual=row)


def _is_int4(layer: Any) -> bool:
    """Whether one_token_int4.py has kept the weights of this layer."""
    return hasattr(layer, "one_token_weight")


def _by(layer: Any) -> Any:
    """The module whose products read these weights; a checkpoint may leave some layers alone."""
    return one_token_int4_products if _is_int4(layer) else one_token_products


def _weights(layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The weights of a product, row by row, and their scales; vLLM keeps fp8 transposed."""
    if _is_int4(layer):
        return layer.one_token_weight, layer.one_token_scales
    scales = getattr(layer, "weight_scale", None)
    return (layer.weight, None) if scales is None else (layer.weight.t(), scales)


ModelRegistry.register_model("LlamaForCausalLM", OneTokenLlama)
