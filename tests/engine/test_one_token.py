"""What the kernels for a step of one token compute, beside the same in plain PyTorch.

Triton's interpreter runs them. It cuts bfloat16 off instead of rounding it, so results are off by
some per cent where a GPU's are off by some tenths.
"""

from __future__ import annotations

from typing import Any

from tests.engine import interpreted

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


def in_a_worker(program: str) -> dict[str, Any]:
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


def test_a_layer_is_what_its_parts_make_of_a_row() -> None:
    """With layers that hold what vLLM's hold, and their weights as vLLM keeps them in fp8."""
    found = in_a_worker(
        """
        from harness.engine import one_token
        from vllm.model_executor.models import ModelRegistry

        def layer(outputs, inputs):
            w, scales = weights(outputs, inputs, fp8=True)
            return SimpleNamespace(weight=w.t(), weight_scale=scales)

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

        def times(linear, x):
            return (linear.weight.t().float() * linear.weight_scale) @ x

        x = torch.randn(1, WIDTH).bfloat16()
        qkv = times(block.qkv_proj, normed(x[0].float(), whole.input_layernorm))
        row = x[0].float() + times(block.o_proj, attended(qkv[None], pages, step)[0])
        gate, up = times(mlp.gate_up_proj, normed(row, whole.post_attention_layernorm)).chunk(2)
        wanted = row + times(mlp.down_proj, torch.nn.functional.silu(gate) * up)
        scratch = one_token_attention.Scratch(HEADS, "cpu")
        got = one_token._through(whole, x, step.positions, {"0": step}, scratch)
        registered = ModelRegistry.models["LlamaForCausalLM"].load_model_cls()
        print(json.dumps({"off": off(got[0], wanted), "model": registered.__name__}))
        """
    )

    assert found["off"] < MOST_OFF
    assert found["model"] == "OneTokenLlama"
