"""What every test runs under."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings
from quick_compositions import quick_compositions

# Read when verl is first imported, here and in every process that a test starts.
os.environ.setdefault("VERL_PLATFORM", "cpu")
# The tensors are small: a second thread costs more than it does, and the suite runs on several processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Python reads `sitecustomize.py` there at every start, that of the other test processes included.
_PATH = (str(Path(__file__).with_name("quick_start")), os.environ.get("PYTHONPATH"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _PATH))

# The same examples on every machine, and no limit on their time: a busy machine is no failure.
# `--hypothesis-profile=default` looks for new ones.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def compositions():
    with quick_compositions():
        yield


# A file goes to one of two processes (scripts/test.sh), so the longest come first and the rest fills up both:
# files and folders. Before all, one that forks its process, which no thread of Ray's may have joined by then.
LONGEST = (
    "test_worker_loss_splits.py",
    "test_survival.py",
    "test_four_bit_training.py",
    "test_recipe_training.py",
    "test_two_nodes.py",
    "test_degenerate_batches.py",
    "test_ranked_training.py",
    "test_new_process.py",
    "trainer",
    "reward_fns",
    "recipes",
    "platform",
)


def pytest_collection_modifyitems(items):
    def place(item):
        names = {item.path.name, item.path.parent.name}
        return next((place for place, name in enumerate(LONGEST) if name in names), len(LONGEST))

    items.sort(key=place)


def pytest_collection_finish():
    # What the imports have made stays to the end, and the thousands of small objects of a composition hold no
    # cycles: the collector may look more rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):
        os._exit(0)  # all is told; taking a million objects apart takes seconds
    gc.unfreeze()  # libraries call leaked what is never collected, at length
