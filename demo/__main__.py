"""`python3 -m demo`: make everything ready and serve the demo. Runs on Python 3.11 with pip alone."""

import sys

from dev.environment import enter

if __name__ == "__main__":
    enter("demo", "demo.server", sys.argv[1:])
