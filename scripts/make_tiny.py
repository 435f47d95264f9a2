"""`python -m amir_verl.demo.make_tiny` from a checkout; the same arguments."""

import sys

from amir_verl.demo.make_tiny import main

if __name__ == "__main__":
    sys.exit(main())
