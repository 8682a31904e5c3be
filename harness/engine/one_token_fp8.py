"""A Llama for one query at a time in fp8: its prompts multiply by cuBLASLt."""

from __future__ import annotations

from harness.engine import cublas_fp8, one_token


class WorkerExtension(one_token.WorkerExtension, cublas_fp8.WorkerExtension):
    """What vLLM asks for, to import both modules in its workers."""
