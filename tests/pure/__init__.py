"""Tests without a browser: the core with a driven clock, and the set-up."""
