"""What GPUs can do by their makers' datasheets: products without sparsity, and memory.

NVIDIA's tables give the rates of sparse products, which are twice those here. A product in fp16 is
as fast as one in bf16.
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


_H100 = "NVIDIA H100 Tensor Core GPU datasheet, 2023"
_H200 = "NVIDIA H200 Tensor Core GPU datasheet, 2024"
_A100 = "NVIDIA A100 Tensor Core GPU datasheet, 2021"
# By the whole name that the driver gives: what follows it may be a slice, or another memory.
_CARDS = {
    "NVIDIA H200": Card("H200 SXM", 989.5e12, 1979e12, 4.8e12, _H200),
    "NVIDIA H100 80GB HBM3": Card("H100 SXM", 989.5e12, 1979e12, 3.35e12, _H100),
    "NVIDIA H100 PCIe": Card("H100 PCIe", 756.5e12, 1513e12, 2.0e12, _H100),
    "NVIDIA H100 NVL": Card("H100 NVL", 835.5e12, 1671e12, 3.9e12, _H100),
    "NVIDIA A100-SXM4-80GB": Card("A100 SXM 80 GB", 312e12, None, 2.039e12, _A100),
    "NVIDIA A100-SXM4-40GB": Card("A100 SXM 40 GB", 312e12, None, 1.555e12, _A100),
    "NVIDIA A100 80GB PCIe": Card("A100 PCIe 80 GB", 312e12, None, 1.935e12, _A100),
    "NVIDIA L40S": Card("L40S", 362e12, 733e12, 0.864e12, "NVIDIA L40S datasheet, 2023"),
    "NVIDIA L4": Card("L4", 121e12, 242.5e12, 0.3e12, "NVIDIA L4 datasheet, 2023"),
}


def find(gpu_name: str | None) -> Card | None:
    """The datasheet of a GPU by its driver's name; None: it is not known here."""
    return None if gpu_name is None else _CARDS.get(gpu_name)
