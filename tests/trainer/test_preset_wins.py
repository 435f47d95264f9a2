"""A preset wins over the rest of a command line, and what it made of the settings is what Ray is handed."""

import sys

import pytest
from omegaconf import OmegaConf

from amir_verl.cli.dry_run import check_run
from amir_verl.trainer.preset import ESTIMATOR, LOSS, MODE, let_preset_win
from benchmarks.verl_scripts import PRESETS, is_gspo, unpack, verdict
from benchmarks.wrong_command_lines import GRPO, ROLLOUT, SOUND, make_files

COMMAND_LINES = "verl_command_lines.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_files(folder)
    return [word.format(here=folder) for word in SOUND]


def test_main_ppo_hands_on_the_settings_that_the_preset_made(sound, tmp_path, monkeypatch, capsys):
    """verl's own entry point, up to where it would start Ray."""
    from verl.trainer import main_ppo

    handed = []
    monkeypatch.setattr(main_ppo, "run_ppo", lambda config, task_runner_class: handed.append(config))
    words = [*sound, f"{LOSS}=gspo", f"{MODE}=colocate_async", f"{ESTIMATOR}=gae", GRPO]
    monkeypatch.setattr(sys, "argv", ["main_ppo", *words, f"hydra.run.dir={tmp_path}"])
    main_ppo.main()
    (config,) = handed
    assert OmegaConf.select(config, LOSS) == "amir_gspo"
    assert OmegaConf.select(config, MODE) == "amir_colocate_async"
    assert OmegaConf.select(config, ESTIMATOR) == "grpo"
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("amir-verl: AMIR's preset wins: ") for line in lines) == 1
    assert "AMIR on: amir_gspo over colocate_async, beta 5, ratio 1, pairs all" in lines


def test_a_second_look_changes_nothing(sound):
    config = check_run([*sound, f"{LOSS}=sapo", GRPO])
    before = OmegaConf.to_container(config, resolve=True)
    assert let_preset_win(config) is None
    assert OmegaConf.to_container(config, resolve=True) == before


def test_a_run_without_amir_is_handed_on_as_it_is(sound):
    words = [*sound, f"{ESTIMATOR}=grpo", f"{LOSS}=gspo", f"{ROLLOUT}.n=1"]
    config = check_run(words)
    from amir_verl.cli.composition import composed_run

    assert config == composed_run(words)


def lines_of_verl(request):
    return unpack((request.path.parent / COMMAND_LINES).read_text())


def test_the_command_lines_are_verls(request):
    lines = lines_of_verl(request)
    assert len(lines) == 116
    assert sum(is_gspo(words) for words in lines.values()) >= 10
    assert '"source": "verl-project/verl 1dda039b9c63' in (request.path.parent / COMMAND_LINES).read_text()


def test_one_script_of_each_kind_takes_the_preset(request):
    """A kind: the loss, estimator and trainer that the command line names, and the engine."""
    keys = (LOSS, ESTIMATOR, MODE, "model_engine", "distillation.enabled")
    kinds = {}
    for name, words in lines_of_verl(request).items():
        if "--config-name=ppo_trainer" in words or "grad_offload" in " ".join(words):
            continue
        kinds.setdefault(tuple(word for word in words if word.partition("=")[0] in keys), (name, words))
    assert len(kinds) > 15
    for name, words in kinds.values():
        found = verdict(words, "grpo")
        reason = reason_to_refuse(words)
        assert (found.refusal or "").startswith(reason or ""), name
        assert (found.refusal is None) == (reason is None) or not_of_this_verl(words), (name, found.refusal)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_script_that_can_takes_the_preset(request, preset):
    lines = {
        name: words for name, words in lines_of_verl(request).items() if preset != "gspo" or is_gspo(words)
    }
    good, refused, alien = 0, 0, []
    for name, words in lines.items():
        found = verdict(words, preset)
        if found.refusal is None:
            good += 1
            assert reason_to_refuse(words) is None, name
            continue
        reason = reason_to_refuse(words)
        if reason is not None and found.refusal.startswith(reason):
            refused += 1
        else:
            alien.append(name)
            assert verdict(words, None).refusal is not None, (name, found.refusal)
    assert len(lines) == good + refused + len(alien)
    assert len(alien) <= 0.1 * len(lines)


def reason_to_refuse(words):
    """The reason that counts: distillation, then a single response."""
    values = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}
    if values.get("distillation.enabled", "False").lower() == "true":
        return "AMIR does not combine with verl's distillation loss"
    if values.get("actor_rollout_ref.rollout.n", "1") == "1":
        return "AMIR compares responses of one prompt"
    return None


def not_of_this_verl(words):
    return verdict(words, None).refusal is not None
