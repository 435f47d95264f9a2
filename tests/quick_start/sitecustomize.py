"""Read by every Python that a test starts (tests/conftest.py sets the path).

A start of verl or vLLM makes a million objects that stay; a collector that looks for garbage among them again
and again takes a sixth of the time.
"""

import gc

gc.set_threshold(100_000, 50, 100)
