"""What tests of the archive share."""

import pytest


@pytest.fixture
def quick(monkeypatch):
    """Let botocore try again at once."""
    import botocore.retries.standard as retries

    monkeypatch.setattr(retries.ExponentialBackoff, "delay_amount", lambda self, context: 0)
