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
    """MiB by which `run` rises above the memory held before: CUDA's, else resident. None: not to be had here.

    Resident memory is Linux's: its high-water mark can be set back between calls.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        # Freed memory that the C library keeps would hide what the call takes anew.
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
        before = _status("VmRSS")
        run()
        return (_status("VmHWM") - before) / 2**10
    except (OSError, AttributeError):
        return None


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory instead of handing it back to the kernel; whether it could.

    Handing back and fetching anew costs page faults, as many as the history of the heap happens to call
    for: in calls of milliseconds up to as much as the work itself.
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
