"""Pure tests in pure/, tests in a real Chromium in browser/."""
