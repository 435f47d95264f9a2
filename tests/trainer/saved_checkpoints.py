"""Checkpoint folders as a trainer of verl leaves them, with a few bytes in each file."""

from omegaconf import OmegaConf

from amir_verl.recovery import checkpoint

FILES = {
    "actor/model_world_size_2_rank_0.pt": b"m" * 100,
    "actor/model_world_size_2_rank_1.pt": b"m" * 90,
    "actor/optim_world_size_2_rank_0.pt": b"o" * 200,
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
    """A whole checkpoint, as verl and the trainer write it."""
    folder = directory / f"global_step_{step}"
    checkpoint.begin(folder)
    write_files(folder)
    if tracker:
        (directory / checkpoint.TRACKER).write_text(str(step))
    checkpoint.finish(folder, {"value": step} if state is None else state)
    return folder


def cut_short(directory, step):
    """What a process killed while saving leaves: some files, no mark."""
    folder = directory / f"global_step_{step}"
    checkpoint.begin(folder)
    (folder / "actor").mkdir()
    (folder / "actor/model_world_size_2_rank_0.pt").write_bytes(b"m" * 30)
    return folder


def tracker_of(directory):
    return (directory / checkpoint.TRACKER).read_text()


def restored(node, step):
    """What lambda gets when verl has resumed `step`."""
    states = []
    checkpoint.restore(states.append, node, step)
    return states
