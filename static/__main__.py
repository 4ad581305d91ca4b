"""`python3 -m static`: make everything ready and build the example notebooks. Runs on Python 3.11 with pip alone."""

import sys

from dev.environment import enter

if __name__ == "__main__":
    enter("tests", "static.notebooks", sys.argv[1:])
