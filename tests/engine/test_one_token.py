"""What the kernels for a step of one token compute, beside the same in plain PyTorch.

Triton's interpreter runs them. It cuts bfloat16 off instead of rounding it, so results are off by
some per cent where a GPU's are off by some tenths.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.engine import one_query
from tests.engine import interpreted

INT4 = "harness.engine.one_token_int4.WorkerExtension"
# Kernels for inputs in fp8, and for weights of 8 bits.
OTHER_FORMATS = {"CutlassW4A8LinearKernel", "AllSparkLinearKernel"}
MOST_OFF = 0.03  # of the norm, through the whole layer

PRELUDE = """
import json, torch
from types import SimpleNamespace
from harness.engine import one_token_launch
one_token_launch.EARLY = False
one_token_launch.OPERANDS = one_token_launch.tl.float32
from harness.engine import one_token_attention, one_token_products
torch.manual_seed(0)
HEADS, GROUP, DIM, BLOCK = 2, 4, 128, 16
WIDTH = HEADS * GROUP * DIM

def off(got, wanted):
    return ((got.float() - wanted).norm() / wanted.norm()).item()

def weights(outputs, inputs, fp8=False):
    w = torch.randn(outputs, inputs) * inputs**-0.5
    if not fp8:
        return w.bfloat16(), None
    scales = w.abs().amax(1, keepdim=True) / 448
    return (w / scales).to(torch.float8_e4m3fn), scales

def plain(given):
    w, scales = given
    return w.float() if scales is None else w.float() * scales

def norm():
    return SimpleNamespace(weight=torch.rand(WIDTH).bfloat16() + 0.5, variance_epsilon=1e-5)

def normed(x, by):
    return x * torch.rsqrt((x * x).mean() + by.variance_epsilon) * by.weight.float()

def cache_of(tokens, fp8=False):
    blocks = torch.randperm(256)[: -(-tokens // BLOCK)].int()
    pages = torch.randn(256, BLOCK, HEADS, 2 * DIM)
    pages = pages.to(torch.float8_e4m3fn) if fp8 else pages.bfloat16()
    slot = int(blocks[(tokens - 1) // BLOCK]) * BLOCK + (tokens - 1) % BLOCK
    step = SimpleNamespace(positions=torch.tensor([tokens - 1]),
                           seq_lens=torch.tensor([tokens]).int(),
                           slot_mapping=torch.tensor([slot]), block_table=blocks[None])
    return pages, step

ANGLES = torch.rand(4096, DIM // 2) * 6
ROTARY = torch.cat([ANGLES.cos(), ANGLES.sin()], 1).bfloat16()

def rotated(heads, position):
    cos, sin = ROTARY[position].float().split(DIM // 2)
    first, second = heads.split(DIM // 2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

def attended(qkv, pages, step):
    tokens = int(step.seq_lens)
    q, k, v = qkv[0].float().split([WIDTH, HEADS * DIM, HEADS * DIM])
    q = rotated(q.view(HEADS, GROUP, DIM), tokens - 1)
    k = rotated(k.view(HEADS, DIM), tokens - 1)
    before = torch.arange(tokens - 1)
    rows = pages.float()[step.block_table[0][before // BLOCK].long(), before % BLOCK]
    keys = torch.cat([rows[..., :DIM], k[None]])
    values = torch.cat([rows[..., DIM:], v.view(1, HEADS, DIM)])
    shares = torch.softmax(torch.einsum("hgd,thd->hgt", q, keys) * DIM**-0.5, -1)
    own = torch.cat([k, v.view(HEADS, DIM)], -1)
    return torch.einsum("hgt,thd->hgd", shares, values).reshape(-1), own
"""


def in_a_worker(program: str) -> Any:
    """What the program prints last, after the prelude."""
    return interpreted.last_line(program, PRELUDE)


def test_products_take_the_norm_the_activation_and_the_residual_along() -> None:
    """In bfloat16, and in fp8 with a scale for each output or one for all."""
    found = in_a_worker(
        """
        def offs(fp8, one_scale=False):
            def made(outputs, inputs):
                w, scales = weights(outputs, inputs, fp8)
                return (w, scales.max().view(1)) if one_scale else (w, scales)

            x, residual = torch.randn(1, WIDTH).bfloat16(), torch.randn(1, 64).bfloat16()
            long = torch.randn(1, 3 * 2048).bfloat16()
            before, some, down = norm(), made(64, WIDTH), made(64, 3 * 2048)
            gate, up = (plain(some) @ normed(x[0].float(), before)).chunk(2)
            return [
                off(one_token_products.norm_product(x, before, *some)[0], torch.cat([gate, up])),
                off(one_token_products.norm_gate_up(x, before, *some)[0],
                    torch.nn.functional.silu(gate) * up),
                off(one_token_products.product(long, *down, residual=residual)[0],
                    plain(down) @ long[0].float() + residual[0].float()),
                off(one_token_products.product(x, *some)[0], plain(some) @ x[0].float()),
            ]

        print(json.dumps({"bf16": offs(False), "fp8": offs(True), "one": offs(True, True)}))
        """
    )

    assert max(max(offs) for offs in found.values()) < MOST_OFF, found


INT4_PRELUDE = """
from harness.engine import one_token_int4_products as int4

def in_int4(outputs, inputs):
    # Numbers of 0 to 15, and words of eight of them as checkpoints hold them.
    numbers = torch.randint(0, 16, (outputs, inputs))
    scales = (torch.rand(outputs, inputs // 128) * inputs**-0.5 / 4).bfloat16()
    places = 4 * torch.arange(8)
    words = (numbers.view(outputs, -1, 8) << places).sum(-1)
    words = torch.where(words >= 2**31, words - 2**32, words).int()
    exact = (numbers - 8).float() * scales.float().repeat_interleave(128, 1)
    return int4.packed(words), scales, exact
"""


def test_weights_of_4_bits_are_multiplied_as_they_are() -> None:
    """With rows of one part, and of several of which the last is shorter."""
    found = in_a_worker(
        INT4_PRELUDE
        + """
x, residual = torch.randn(1, WIDTH).bfloat16(), torch.randn(1, 64).bfloat16()
before, narrow, long = norm(), in_int4(64, WIDTH), in_int4(64, 48 * 128)
big = 1000 * torch.randn(1, 48 * 128).bfloat16()
gate, up = (narrow[2] @ normed(x[0].float(), before)).chunk(2)
print(json.dumps([
    off(int4.norm_product(x, before, *narrow[:2])[0], torch.cat([gate, up])),
    off(int4.norm_gate_up(x, before, *narrow[:2])[0], torch.nn.functional.silu(gate) * up),
    off(int4.product(big, *long[:2], residual=residual)[0],
        long[2] @ big[0].float() + residual[0].float()),
    off(int4.product(x, *narrow[:2], residual=residual)[0],
        narrow[2] @ x[0].float() + residual[0].float()),
]))
"""
    )

    assert max(found) < MOST_OFF, found


def test_attention_reads_the_tokens_before_and_adds_its_own() -> None:
    """From the first token on, at the edges of a block, and where a program reads several times."""
    found = in_a_worker(
        """
        def case(tokens, fp8):
            pages, step = cache_of(tokens, fp8)
            qkv = torch.randn(1, WIDTH + 2 * HEADS * DIM).bfloat16()
            wanted, own = attended(qkv, pages, step)
            old, one = pages.clone(), torch.ones(1)
            scratch = one_token_attention.Scratch(HEADS, "cpu")
            where = divmod(int(step.slot_mapping), BLOCK)
            offs = [off(one_token_attention.attention(
                qkv, ROTARY, step, pages, (one, one), scratch)[0], wanted) for _ in range(2)]
            stored = off(pages.float()[where], own)
            pages[where] = old[where]
            return {"fp8": fp8, "offs": offs, "stored": stored,
                    "counters": scratch.counters.tolist(),
                    "others": bool((pages.float() == old.float()).all())}

        cases = [(1, False), (2, False), (17, False), (33, True), (300, False), (1100, True)]
        print(json.dumps({"cases": [case(*given) for given in cases]}))
        """
    )

    for case in found["cases"]:
        # The second time as well: the counters are back at zero.
        assert max(case["offs"]) < MOST_OFF, case
        assert case["counters"] == [0, 0]
        assert case["stored"] < (0.1 if case["fp8"] else 0.01)
        assert case["others"]


def test_no_token_leaves_the_cache_alone() -> None:
    found = in_a_worker(
        """
        pages, step = cache_of(40)
        step.slot_mapping[0] = -1
        old, one = pages.clone(), torch.ones(1)
        qkv = torch.randn(1, WIDTH + 2 * HEADS * DIM).bfloat16()
        scratch = one_token_attention.Scratch(HEADS, "cpu")
        one_token_attention.attention(qkv, ROTARY, step, pages, (one, one), scratch)
        print(json.dumps({"same": bool((pages == old).all())}))
        """
    )

    assert found["same"]


LAYERS = {
    # As vLLM keeps it.
    "fp8": """
def layer(outputs, inputs):
    w, scales = weights(outputs, inputs, fp8=True)
    return SimpleNamespace(weight=w.t(), weight_scale=scales, exact=plain((w, scales)))
""",
    "int4": INT4_PRELUDE
    + """
def layer(outputs, inputs):
    words, scales, exact = in_int4(outputs, inputs)
    return SimpleNamespace(one_token_weight=words, one_token_scales=scales, exact=exact)
""",
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_what_its_parts_make_of_a_row(kind: str) -> None:
    """With layers that hold what vLLM's hold."""
    found = in_a_worker(
        LAYERS[kind]
        + """
from harness.engine import one_token
from vllm.model_executor.models import ModelRegistry

one = torch.ones(1)
pages, step = cache_of(40)
attn = SimpleNamespace(layer_name="0", kv_cache=pages.transpose(1, 2),
                       kv_cache_dtype="auto", _k_scale=one, _v_scale=one)
block = SimpleNamespace(
    attn=attn, qkv_proj=layer(WIDTH + 2 * HEADS * DIM, WIDTH), o_proj=layer(WIDTH, WIDTH),
    rotary_emb=SimpleNamespace(cos_sin_cache=ROTARY))
mlp = SimpleNamespace(gate_up_proj=layer(2 * 2048, WIDTH), down_proj=layer(WIDTH, 2048))
whole = SimpleNamespace(self_attn=block, mlp=mlp, input_layernorm=norm(),
                        post_attention_layernorm=norm())

x = torch.randn(1, WIDTH).bfloat16()
qkv = block.qkv_proj.exact @ normed(x[0].float(), whole.input_layernorm)
row = x[0].float() + block.o_proj.exact @ attended(qkv[None], pages, step)[0]
gate, up = (mlp.gate_up_proj.exact @ normed(row, whole.post_attention_layernorm)).chunk(2)
wanted = row + mlp.down_proj.exact @ (torch.nn.functional.silu(gate) * up)
scratch = one_token_attention.Scratch(HEADS, "cpu")
got = one_token._through(whole, x, step.positions, {"0": step}, scratch)
registered = ModelRegistry.models["LlamaForCausalLM"].load_model_cls()
print(json.dumps({"off": off(got[0], wanted), "model": registered.__name__}))
"""
    )

    assert found["off"] < MOST_OFF
    assert found["model"] == "OneTokenLlama"


@pytest.mark.parametrize("packing", ["compressed-tensors", "gptq"])
def test_beside_vllms_copy_of_the_weights_one_is_kept_for_one_token(packing: str) -> None:
    """Whichever way the checkpoint's lie, and before vLLM lays them in its own order."""
    found = in_a_worker(
        INT4_PRELUDE
        + f"""
by_output = {packing == "compressed-tensors"}
"""
        + """
from vllm.model_executor.kernels.linear import MacheteLinearKernel
from vllm.model_executor import parameter
from vllm.scalar_type import scalar_types
from harness.engine.one_token_int4 import KeepingLinearKernel

def laid_anew(kernel, layer):
    layer.words.data.zero_()
    layer.scales.data.zero_()

parameter.get_tensor_model_parallel_rank = lambda: 0
parameter.get_tensor_model_parallel_world_size = lambda: 1
MacheteLinearKernel.can_implement = classmethod(lambda cls, c: (True, None))
MacheteLinearKernel.process_weights_after_loading = laid_anew
words = torch.randint(-2**31, 2**31, (64, WIDTH // 8), dtype=torch.int64).int()
scales = torch.rand(64, WIDTH // 128).bfloat16()
where = dict(input_dim=1, output_dim=0) if by_output else dict(input_dim=0, output_dim=1)
loader = dict(weight_loader=lambda *_: None)

def laid(tensor):
    return tensor.clone() if by_output else tensor.t().contiguous()

layer = torch.nn.Module()
layer.words = parameter.PackedvLLMParameter(
    data=laid(words), packed_dim=where["input_dim"], packed_factor=8, **where, **loader)
layer.scales = parameter.GroupQuantScaleParameter(data=laid(scales), **where, **loader)
config = SimpleNamespace(weight_type=scalar_types.uint4b8, act_type=torch.bfloat16,
                         group_size=128, zero_points=False, has_g_idx=False)
KeepingLinearKernel(config, "words", "scales").process_weights_after_loading(layer)
from vllm.model_executor.kernels.linear import _POSSIBLE_KERNELS
from vllm.platforms import PlatformEnum
listed = _POSSIBLE_KERNELS[PlatformEnum.CUDA]
others = [dict(group_size=64), dict(weight_type=scalar_types.uint4), dict(has_g_idx=True)]
taken = [KeepingLinearKernel.can_implement(SimpleNamespace(**vars(config) | other))[0]
         for other in [{}, *others]]
print(json.dumps({
    "before": [kernel.__name__ for kernel in listed[: listed.index(KeepingLinearKernel)]],
    "taken": taken,
    "words": bool((layer.one_token_weight == int4.packed(words)).all()),
    "scales": bool((layer.one_token_scales == scales).all()),
    "laid anew": not layer.words.any(),
}))
"""
    )

    before = set(found.pop("before"))
    assert found == {
        "taken": [True, False, False, False],
        "words": True,
        "scales": True,
        "laid anew": True,
    }
    # The list of vLLM 0.32, which has all of 0.26's.
    told = one_query.environment({"worker_extension_cls": INT4})
    off = set(told["VLLM_DISABLED_KERNELS"].split(","))
    assert off <= before
    assert before - off <= OTHER_FORMATS
