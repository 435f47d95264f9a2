"""Fresh interpreters without the wait, for what is tested from a new process.

Most of a start of verl is the import of torch, transformers and the like. Here one process per test worker
has imported those, and neither verl nor anything of ours; each run is a fork of it.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

# What verl, vLLM aside, imports of others at its start; a module that is missing here costs time alone.
IMPORTED = ["torch", "torch._inductor.compile_fx", "torch.distributed.fsdp", "tensordict", "transformers"]
IMPORTED += ["ray", "transfer_queue", "hydra", "pandas", "fastapi", "rich", "wrapt"]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(IMPORTED)


def run_python(
    *arguments: object, env: Mapping[str, str], cwd: Path | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """`python -c CODE`, `python -m MODULE ...` or `python FILE ...` in this environment, run to its end."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKS.Process(target=_become, args=(words, dict(env), str(cwd or Path.cwd()), out, err))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(words, timeout, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def _become(words: Sequence[str], env: Mapping[str, str], cwd: str, out: Path, err: Path) -> None:
    """The whole life of a fork."""
    for path, descriptor in ((out, 1), (err, 2)):
        with path.open("w") as sink:
            os.dup2(sink.fileno(), descriptor)
    assert not {name.partition(".")[0] for name in sys.modules} & {"verl", "amir_verl", "reward_fns"}
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    # As python itself does it.
    sys.path[0] = {"-c": "", "-m": cwd}.get(words[0], str(Path(words[0]).parent))
    sys.argv = ["-c", *words[2:]] if words[0] == "-c" else list(words[words[0] == "-m" :])
    status = 0
    try:
        if words[0] == "-c":
            exec(words[1], {"__name__": "__main__"})
        elif words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
