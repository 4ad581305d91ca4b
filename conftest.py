"""An installed tb_browser brings its fixtures by itself; this checkout is not installed."""

pytest_plugins = ["tb_browser_pytest"]
