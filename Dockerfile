# docker build -t mlperf-llama31:clean .               NVIDIA GPUs (driver 580 or newer)
# docker build --target cpu -t mlperf-llama31:cpu .    no GPU
#
# docker run --gpus all --rm --env-file .env -v $PWD/results:/app/results mlperf-llama31:clean \
#   python run.py --category datacenter --scenario offline --mode both
#
# -v $HOME/.cache/mlperf:/cache keeps the downloaded model; --ipc=host is needed with several GPUs.

FROM python:3.12-slim-bookworm AS base
# A compiler for Triton and torch.compile, libnuma for vLLM's CPU build, tini to reap the engine's
# processes. The CUDA libraries come with torch.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ libnuma1 tini \
 && rm -rf /var/lib/apt/lists/*
# Everything a run may write lies under /cache and /app/results, for any user.
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    HOME=/cache \
    HF_HOME=/cache/huggingface \
    PATH=/app/.venv/bin:$PATH
WORKDIR /app
COPY requirements*.txt requirements*.lock ./
COPY tools tools
ENTRYPOINT ["tini", "--", "tools/docker-entrypoint.sh"]
CMD ["python", "run.py", "--help"]

FROM base AS cpu
RUN VARIANT=cpu python tools/setup_venv.py
COPY . .
RUN mkdir -p results /cache && chmod 1777 results /cache

FROM base AS gpu
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN VARIANT=gpu python tools/setup_venv.py
COPY . .
RUN mkdir -p results /cache && chmod 1777 results /cache
