"""Both forms of a stream's precision."""

import pytest

from softmax_reg.streaming import stream


@pytest.fixture(params=["matrix", "factors"])
def form(request, monkeypatch):
    """Both forms of the precision, whatever the size."""
    if request.param == "factors":
        monkeypatch.setattr(stream, "MAX_DENSE_SIZE", 0)
    return request.param
