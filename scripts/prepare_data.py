"""`amir-verl prepare` from a checkout; the same arguments."""

import sys

from amir_verl.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main())
