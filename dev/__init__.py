"""What the two commands, `python3 -m demo` and `python3 -m tests`, are made ready with."""
