"""Whether the weights of an asynchronous run can reach its rollout engines: asked before Ray starts."""

from importlib import import_module

from omegaconf import DictConfig


def check_weight_engine(settings: DictConfig) -> None:
    """Refuse a checkpoint engine that verl cannot load here.

    verl imports each of its engines optionally (`verl/checkpoint_engine/__init__.py`) and says which one is
    missing first inside a Ray actor. An engine whose library is installed but does not load (CuPy on a head
    without a GPU) is left to the workers.

    Args:
        settings: `actor_rollout_ref.rollout.checkpoint_engine`.

    Raises:
        ValueError: one line, with what to install or to set.
    """
    from verl.checkpoint_engine.base import CheckpointEngineRegistry

    backend, own = settings.backend, settings.get("custom_backend_module")
    setting = "actor_rollout_ref.rollout.checkpoint_engine.backend"
    if backend == "naive":
        raise ValueError(f"amir_separate_async needs an engine that sends its weights: set {setting}=nccl")
    if own:
        import_module(own)
    import_module("verl.checkpoint_engine")
    if backend in CheckpointEngineRegistry._registry:
        return
    errors = CheckpointEngineRegistry._import_errors
    family = backend.split("_")[0]
    error = next((error for module, error in errors.items() if module.startswith(family)), None)
    if error is None:
        known = ", ".join(sorted(CheckpointEngineRegistry._registry))
        raise ValueError(f"{setting}={backend} does not exist; here are: {known}")
    if isinstance(error, ModuleNotFoundError):
        cure = "pip install 'verl[cupy-cu130]==0.9.1'" if error.name == "cupy" else f"install {error.name}"
        raise ValueError(f"{setting}={backend} needs {error.name}, which is not installed: {cure}")
