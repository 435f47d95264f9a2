"""`amir-verl prepare-ranked` from a checkout; the same arguments."""

import sys

from amir_verl.cli.prepare_ranked import main

if __name__ == "__main__":
    sys.exit(main())
