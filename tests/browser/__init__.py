"""Tests in a real Chromium, by pytest-playwright's sync fixtures."""
