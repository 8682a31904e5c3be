"""What the official checkers know of a tree of llama3.1-8b: its names, fields and limits."""

from __future__ import annotations

MODELS = {"llama3.1-8b": "datacenter", "llama3.1-8b-edge": "edge"}
ALLOWED = {
    "llama3.1-8b": {"Offline", "Server", "Interactive"},
    "llama3.1-8b-edge": {"Offline", "SingleStream"},
}
LOADGEN_SCENARIO = {"Interactive": "Server"}
HEADLINE = {
    "Offline": "result_tokens_per_second",
    "Server": "result_completed_tokens_per_second",
    "Interactive": "result_completed_tokens_per_second",
    "SingleStream": "result_90.00_percentile_latency_ns",
}
ACCURACY_PATTERNS = {
    "rouge1": r".*'rouge1':\s+'?([\d.]+)'?.*",
    "rouge2": r".*'rouge2':\s+'?([\d.]+)'?.*",
    "rougeL": r".*'rougeL':\s+'?([\d.]+)'?.*",
    "rougeLsum": r".*'rougeLsum':\s+'?([\d.]+)'?.*",
    "gen_len": r".*'gen_len':\s([\d.]+).*",
}
SYSTEM_FIELDS = [
    "division",
    "submitter",
    "status",
    "system_name",
    "number_of_nodes",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_processor_core_count",
    "host_memory_capacity",
    "host_storage_capacity",
    "host_storage_type",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_memory_capacity",
    "framework",
    "operating_system",
    "system_type",
    "other_software_stack",
    "host_processor_frequency",
    "host_processor_caches",
    "host_memory_configuration",
    "host_processor_interconnect",
    "host_networking",
    "host_networking_topology",
    "accelerator_frequency",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "accelerator_memory_configuration",
    "accelerator_on-chip_memories",
    "cooling",
    "hw_notes",
    "sw_notes",
    "host_network_card_count",
    "system_type_detail",
]
MAY_BE_EMPTY = [
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "accelerator_frequency",
    "accelerator_interconnect_topology",
    "accelerator_on-chip_memories",
    "hw_notes",
    "sw_notes",
    "system_type_detail",
]
MEASUREMENT_FIELDS = [
    "input_data_types",
    "retraining",
    "starting_weights_filename",
    "weight_data_types",
    "weight_transformations",
]
LOGS = {"mlperf_log_summary.txt", "mlperf_log_detail.txt"}
LARGEST_FILE = 50 * 1024 * 1024
LARGEST_ACCURACY_LOG = 10 * 1024
