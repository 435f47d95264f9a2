"""Checkpoint folders as a trainer of verl leaves them, with a few bytes in each file."""

from omegaconf import OmegaConf

from amir_verl.recovery.checkpoint_mark import mark_complete, mark_unfinished
from amir_verl.recovery.resume_point import TRACKER, restore_lambda

FILES = {
    "actor/model_world_size_2_rank_0.pt": b"m" * 100,
    "actor/model_world_size_2_rank_1.pt": b"m" * 90,
    "actor/optim_world_size_2_rank_0.pt": b"o" * 200,
    "actor/optim_world_size_2_rank_1.pt": b"o" * 190,
    "actor/huggingface/config.json": b"{}",
    "data.pt": b"d" * 10,
}


def trainer(folder, *, mode="auto", path=None, **settings):
    node = {
        "default_local_dir": str(folder),
        "resume_mode": mode,
        "resume_from_path": None if path is None else str(path),
        "max_actor_ckpt_to_keep": None,
        "max_critic_ckpt_to_keep": None,
    }
    return OmegaConf.create(node | settings)


def write_files(folder):
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def save(directory, step, state=None, *, tracker=True):
    """A complete checkpoint, as verl and the trainer write it."""
    folder = directory / f"global_step_{step}"
    mark_unfinished(folder)
    write_files(folder)
    if tracker:
        (directory / TRACKER).write_text(str(step))
    mark_complete(folder, {"value": step} if state is None else state)
    return folder


def cut_short(directory, step):
    """What a process killed while saving leaves: some files, no mark."""
    folder = directory / f"global_step_{step}"
    mark_unfinished(folder)
    (folder / "actor").mkdir()
    (folder / "actor/model_world_size_2_rank_0.pt").write_bytes(b"m" * 30)
    return folder


def fragment(directory, step, rank=1):
    """What a node without the run's trainer holds where nodes share no folder: its own ranks' files."""
    folder = directory / f"global_step_{step}"
    (folder / "actor").mkdir(parents=True)
    for part in ("model", "optim"):
        (folder / f"actor/{part}_world_size_2_rank_{rank}.pt").write_bytes(b"m" * 90)
    return folder


def tracker_of(directory):
    return (directory / TRACKER).read_text()


def restored(node, step):
    """What lambda gets when verl has resumed `step`."""
    states = []
    restore_lambda(states.append, node, step)
    return states
