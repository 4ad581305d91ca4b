"""Hypothesis: 300 sequences a property in the test command, 100,000 in the long run, whose seed is printed."""

import random
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=False
)
settings.register_profile("long", parent=settings.get_profile("default"), max_examples=100_000, print_blob=True)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """Choose and print the seed of a long run, so that it can be repeated."""
    if getattr(config.option, "hypothesis_profile", None) == "long" and config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
        sys.stdout.write(f"--hypothesis-seed={config.option.hypothesis_seed}\n")
