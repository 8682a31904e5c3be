"""What GPUs can do by their makers' datasheets: products without sparsity, and memory.

NVIDIA's tables give most rates for sparse products, which are halved here; the A100's and the
L40S's give both. A product in fp16 is as fast as one in bf16. docs/metrics.md has the figures as
they are printed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A GPU as its datasheet has it."""

    name: str
    bf16_flop_per_s: float  # dense
    fp8_flop_per_s: float | None  # dense; None: the card has no products in fp8
    memory_bytes_per_s: float
    source: str

    def multiplies_in(self, precision: str) -> str:
        """The number format of products, as --precision spells it; vLLM takes bf16 without fp8."""
        return "bf16" if precision == "fp8" and self.fp8_flop_per_s is None else precision

    def flop_per_s(self, precision: str) -> float:
        """The most of products that are asked for in this precision."""
        in_fp8 = self.fp8_flop_per_s if precision == "fp8" else None
        return in_fp8 or self.bf16_flop_per_s


_H100 = "https://www.nvidia.com/en-us/data-center/h100/"
_H200 = "https://www.nvidia.com/en-us/data-center/h200/"
_A100 = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
    "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
)
_A100_40 = "https://upb-pc2.atlassian.net/wiki/spaces/PC2DOK/pages/1900609"  # NVIDIA's, at a user's
_H100_PCIE = "https://archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html"  # NVIDIA's, a seller's
_L40S = "https://www.nvidia.com/en-us/data-center/l40s/"
_L4 = "https://www.nvidia.com/en-us/data-center/l4/"
# By the whole name that the driver gives: what follows it may be a slice, or another memory.
_CARDS = {
    "NVIDIA H200": Card("H200 SXM", 1979e12 / 2, 3958e12 / 2, 4.8e12, _H200),
    "NVIDIA H100 80GB HBM3": Card("H100 SXM", 1979e12 / 2, 3958e12 / 2, 3.35e12, _H100),
    "NVIDIA H100 PCIe": Card("H100 PCIe", 1513e12 / 2, 3026e12 / 2, 2.0e12, _H100_PCIE),
    "NVIDIA H100 NVL": Card("H100 NVL", 1671e12 / 2, 3341e12 / 2, 3.9e12, _H100),
    "NVIDIA A100-SXM4-80GB": Card("A100 SXM 80 GB", 312e12, None, 2.039e12, _A100),
    "NVIDIA A100-SXM4-40GB": Card("A100 SXM 40 GB", 312e12, None, 1.555e12, _A100_40),
    "NVIDIA A100 80GB PCIe": Card("A100 PCIe 80 GB", 312e12, None, 1.935e12, _A100),
    "NVIDIA L40S": Card("L40S", 362.05e12, 733e12, 0.864e12, _L40S),
    "NVIDIA L4": Card("L4", 242e12 / 2, 485e12 / 2, 0.3e12, _L4),
}


def find(gpu_name: str | None) -> Card | None:
    """The datasheet of a GPU by its driver's name; None: it is not known here."""
    return None if gpu_name is None else _CARDS.get(gpu_name)
