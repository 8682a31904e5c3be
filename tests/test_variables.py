"""Variables that the hub's client and vLLM read."""

from __future__ import annotations

import os

import pytest

from harness import variables
from harness.errors import UsageError


@pytest.mark.parametrize(
    "endpoint",
    ["huggingface.co", "http://[", "http://a b", "ftp://hub", "http://hub:99999", "https://", "x"],
)
def test_an_endpoint_that_is_no_address_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    with pytest.raises(UsageError) as refused:
        variables.check_those_of_the_hub()
    assert str(refused.value) == (
        f"HF_ENDPOINT={endpoint}: this is no address of a hub; write it whole, for example "
        "HF_ENDPOINT=https://huggingface.co, or unset it."
    )


@pytest.mark.parametrize(
    "endpoint",
    ["https://huggingface.co", "http://127.0.0.1:9/", "http://[::1]:80", "https://hub_1.lan/hf"],
)
def test_an_address_is_left_as_it_is(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    variables.check_those_of_the_hub()

    assert os.environ["HF_ENDPOINT"] == endpoint


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "0"])
def test_a_patience_that_is_no_number_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", value)

    with pytest.raises(UsageError, match=f"HF_HUB_ETAG_TIMEOUT={value}: this is no whole number"):
        variables.check_those_of_the_hub()


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_an_empty_variable_is_taken_for_absent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, " ")

    variables.check_those_of_the_hub()

    assert name not in os.environ


@pytest.mark.parametrize(
    ("stall_timeout_s", "limit"),
    [(300.0, "660"), (3600.5, "7262"), (10.0, "300"), (1e12, "604800")],
)
def test_vllm_gives_a_step_up_later_than_a_run_does(
    stall_timeout_s: float, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", raising=False)

    found = variables.limit_on_a_step(stall_timeout_s, at_once=2)

    assert found == {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": limit}


def test_the_user_s_own_limit_on_a_step_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "7")

    assert variables.limit_on_a_step(300.0, at_once=2) == {
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "7"
    }
