# make image          mlperf-llama31:clean, for NVIDIA GPUs (driver 580 or newer)
# make image-cpu      mlperf-llama31:cpu, for no GPU
#
# or, the same by hand:
#
# docker build -t mlperf-llama31:clean .
# docker build --target cpu -t mlperf-llama31:cpu .
#
# docker run --gpus all --rm --env-file .env -v $PWD/results:/app/results mlperf-llama31:clean \
#   python run.py --category datacenter --scenario offline --mode both
#
# -v $HOME/.cache/mlperf:/cache keeps the downloaded model for the next run.
# --ipc=host gives several GPUs the shared memory they talk through.

FROM python:3.12-slim-bookworm AS base
# `make image` adds source and revision. This project names no licence; vLLM's is Apache-2.0.
LABEL org.opencontainers.image.title="mlperf-llama31-vllm" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="NOASSERTION"
# libnuma for vLLM's CPU build, tini to reap the engine's processes.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libnuma1 tini \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
# All that a run may write lies under /app/results and /cache, whoever runs it.
RUN mkdir results /cache && chmod 1777 results /cache
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PATH=/app/.venv/bin:$PATH
# What the installation reads and no more: a change of anything else does not install again.
COPY requirements.txt ./
COPY requirements requirements
COPY tools/setup_venv.py tools/packages.py tools/pip_settings.py tools/steps.py tools/trim.py \
     tools/elf.py tools/get_punkt.py tools/
ENTRYPOINT ["tini", "--", "/app/tools/docker-entrypoint.sh"]
CMD ["python", "run.py", "--help"]

FROM base AS cpu
# Nothing is compiled here: the model is loaded eagerly.
RUN VARIANT=cpu python tools/setup_venv.py --image
COPY . .
# Whoever runs it may not write byte code into /app.
RUN python -m compileall -q harness tools *.py
ENV HOME=/cache HF_HOME=/cache/huggingface

FROM base AS gpu
# A compiler for Triton and torch.compile. The CUDA libraries come with torch.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ \
 && rm -rf /var/lib/apt/lists/*
RUN VARIANT=gpu python tools/setup_venv.py --image
# Attention kernels for H100 and H200: 14 minutes of one core, less with more. Without such a GPU:
# --build-arg HOPPER=0.
ARG HOPPER=1
COPY tools/compile_attention.py tools/
RUN if [ "$HOPPER" = 1 ]; then \
      python tools/compile_attention.py || echo "fp8 will use FlashAttention 3"; fi
COPY . .
RUN python -m compileall -q harness tools *.py
ENV HOME=/cache HF_HOME=/cache/huggingface
# FlashInfer's sampler would be compiled at the start; greedy decoding never calls it.
# Compiled kernels: vLLM's and Triton's go below HOME, Inductor's would go to /tmp and be lost.
ENV TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility VLLM_USE_FLASHINFER_SAMPLER=0
