"""Tools for testing pages that track time: a real browser whose tabs are really hidden, frozen and killed."""
