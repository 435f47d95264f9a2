"""Memory while timing: the peak of one call, and an allocator that keeps what is freed."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

# glibc, malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_increase(run: Callable[[], object]) -> float | None:
    """MiB that `run` adds at its peak to the memory held before: CUDA's, else resident. None: not measurable.

    Resident memory needs Linux, which can reset its high-water mark between calls.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        # Freed memory kept by the C library would hide what the call allocates.
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
        before = _status("VmRSS")
        run()
        return (_status("VmHWM") - before) / 2**10
    except (OSError, AttributeError):
        return None


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory instead of returning it to the kernel; whether it could.

    Returning and fetching it again costs page faults, how many depends on the heap's history: for calls of
    milliseconds, up to as much as the work itself.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, 2**30) and mallopt(M_MMAP_THRESHOLD, 2**25))


def _status(name: str) -> int:
    """A field of the process's status, KiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
