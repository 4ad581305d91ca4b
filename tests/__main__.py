"""`python3 -m tests`: make everything ready and run all tests. Runs on Python 3.11 with pip alone."""

import sys

from dev.environment import enter

if __name__ == "__main__":
    enter("tests", "dev.check", sys.argv[1:])
