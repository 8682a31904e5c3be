"""How many queries of a Server test may miss a latency limit."""

from __future__ import annotations

import pytest

from harness.limits import allowed_over_limit


@pytest.mark.parametrize(
    ("queries", "allowed"), [(458, -1), (459, 0), (13368, 107), (26736, 229), (40104, 354)]
)
def test_late_queries_allowed_are_loadgens(queries: int, allowed: int) -> None:
    assert allowed_over_limit(queries) == allowed
