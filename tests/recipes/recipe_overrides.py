"""What a recipe hands to verl, read from its output under DRY_RUN=args, and what it refuses."""

ACTOR = "actor_rollout_ref.actor"


def overrides_of(process):
    assert process.returncode == 0, process.stderr
    return process.stdout.split("\0")[:-1]


def settings_of(process):
    """Overrides as a mapping; a later one wins, as for hydra. (Composing takes verl a second each.)"""
    pairs = (override.partition("=") for override in overrides_of(process))
    return {key.lstrip("+"): value for key, _, value in pairs}


def offload_of(settings):
    policy = f"{ACTOR}.fsdp_config"
    if settings.get(f"{policy}.offload_policy") == "True":
        return "cpu"
    swapped = [settings.get(f"{policy}.{part}_offload", "False") for part in ("param", "optimizer")]
    return {("True", "True"): "swap", ("False", "False"): "none"}[tuple(swapped)]


def refusal_of(process):
    assert process.returncode == 2, (process.returncode, process.stdout, process.stderr)
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    return process.stderr.strip()
