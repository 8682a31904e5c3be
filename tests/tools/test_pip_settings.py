"""pip's configuration as pip prints it, and as uv is given it."""

from __future__ import annotations

import pytest

from tools import pip_settings

PRINTED = """\
:env:.cert='/etc/ssl/certs/ca-certificates.crt'
:env:.default-timeout='180'
:env:.disable-pip-version-check='1'
:env:.find-links='/opt/wheels'
global.constraint='/etc/xdg/pip/constraints.txt'
global.extra-index-url='file:///opt/pypi/simple\\nfile:///opt/pypi-more/simple'
global.find-links='/elsewhere'
install.no-index='false'
download.index-url='https://not.for/install'
"""


def test_the_environment_wins_over_files_and_other_commands_do_not_count() -> None:
    assert pip_settings.parse(PRINTED) == {
        "constraint": "/etc/xdg/pip/constraints.txt",
        "extra-index-url": "file:///opt/pypi/simple\nfile:///opt/pypi-more/simple",
        "find-links": "/opt/wheels",
        "no-index": "false",
        "cert": "/etc/ssl/certs/ca-certificates.crt",
        "timeout": "180",
        "disable-pip-version-check": "1",
    }


def test_the_install_section_wins_over_the_global_one() -> None:
    printed = "global.index-url='https://a/simple'\ninstall.index-url='https://b/simple'\n"

    assert pip_settings.parse(printed) == {"index-url": "https://b/simple"}


def test_an_index_with_an_equals_sign_and_a_dot_is_kept_whole() -> None:
    printed = ":env:.index-url='https://user:pass@host.example/simple?key=1'\n"

    assert pip_settings.parse(printed) == {
        "index-url": "https://user:pass@host.example/simple?key=1"
    }


def test_uv_is_given_the_same_places() -> None:
    assert pip_settings.uv_environment(pip_settings.parse(PRINTED)) == {
        "UV_CONSTRAINT": "/etc/xdg/pip/constraints.txt",
        "UV_INDEX": "file:///opt/pypi/simple file:///opt/pypi-more/simple",
        "UV_FIND_LINKS": "/opt/wheels",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "UV_HTTP_TIMEOUT": "180",
    }


@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        ({}, {}),
        ({"index-url": "https://a/simple"}, {"UV_DEFAULT_INDEX": "https://a/simple"}),
        ({"find-links": "/a /b"}, {"UV_FIND_LINKS": "/a,/b"}),
        ({"no-index": "1", "no-cache-dir": "true"}, {"UV_NO_INDEX": "1", "UV_NO_CACHE": "1"}),
        ({"proxy": "http://p:1"}, {"ALL_PROXY": "http://p:1"}),
        ({"trusted-host": "a b"}, {"UV_INSECURE_HOST": "a b"}),
        ({"quiet": "1"}, {}),
    ],
)
def test_each_setting_has_its_variable(settings: dict[str, str], variables: dict[str, str]) -> None:
    assert pip_settings.uv_environment(settings) == variables


def test_a_setting_that_uv_would_not_heed_is_named() -> None:
    with pytest.raises(pip_settings.NotForUv, match="pip is configured with no-binary"):
        pip_settings.uv_environment({"no-binary": "numpy"})
