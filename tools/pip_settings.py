"""What pip is configured with, and the same for uv, which reads none of pip's settings."""

from __future__ import annotations

import ast
from collections.abc import Mapping

# Later sections win, as in pip.
SECTIONS = ("global", "install", ":env:")
# uv's variable for each of pip's settings, and what separates several values there.
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "retries": ("UV_HTTP_RETRIES", " "),
}
SWITCHES = {"no-index": "UV_NO_INDEX", "no-cache-dir": "UV_NO_CACHE"}
# What changes nothing of that which gets installed.
HARMLESS = {
    "break-system-packages", "cache-dir", "compile", "disable-pip-version-check", "exists-action",
    "log", "no-color", "no-compile", "no-input", "no-warn-script-location", "prefer-binary",
    "progress-bar", "quiet", "require-virtualenv", "root-user-action", "verbose",
}  # fmt: skip


class NotForUv(Exception):
    """pip is configured with something that uv is not given here."""


def parse(config_list: str) -> dict[str, str]:
    """The settings of `pip install` out of what `pip config list` prints."""
    values: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in config_list.splitlines():
        name, equals, quoted = line.strip().partition("=")
        section, dot, key = name.rpartition(".")
        if equals and dot and section in values:
            values[section][key.removeprefix("default-")] = str(ast.literal_eval(quoted))
    return {key: value for section in SECTIONS for key, value in values[section].items()}


def uv_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """uv's variables for pip's settings. Raises NotForUv for one that uv would not heed."""
    environment = {}
    for key, value in settings.items():
        if key in VARIABLES:
            variable, separator = VARIABLES[key]
            environment[variable] = separator.join(value.split())
        elif key in SWITCHES:
            if value.lower() in ("1", "true", "yes", "on"):
                environment[SWITCHES[key]] = "1"
        elif key not in HARMLESS:
            raise NotForUv(f"pip is configured with {key}")
    return environment
