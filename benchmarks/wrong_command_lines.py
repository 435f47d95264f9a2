"""Wrong and odd command lines of an AMIR run, with what is said of each before Ray starts.

    python -m benchmarks.wrong_command_lines [--first N]

runs each through `python -m verl.trainer.main_ppo` in a folder of its own and prints what was said, and after
how many seconds. Lines that are sound, and would start Ray, are composed with `--cfg job` alone.
tests/trainer/test_wrong_command_lines.py puts the same list through the same checks in one process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

GRPO = "+amir@_global_=grpo"
ACTOR = "actor_rollout_ref.actor"
ROLLOUT = "actor_rollout_ref.rollout"
LOSS = f"{ACTOR}.policy_loss.loss_mode"
MODE = "trainer.v1.trainer_mode"
ESTIMATOR = "algorithm.adv_estimator"
REWARD = "reward.custom_reward_function"
MODEL = "actor_rollout_ref.model"
FILTER = "algorithm.filter_groups"

# A run that is sound, whose words the lines below come after; {here} is the folder of `make_files`.
SOUND = (
    "data.train_files={here}/train.parquet",
    "data.val_files={here}/test.parquet",
    f"{MODEL}.path={{here}}/model",
    f"{REWARD}.path=pkg://reward_fns.math_reward",
    f"{ROLLOUT}.name=hf",
    f"{ROLLOUT}.n=4",
    f"{ACTOR}.ppo_micro_batch_size_per_gpu=8",
    f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
)
REWARD_FILE = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, weight=1.0):
    return weight * float(ground_truth in solution_str)


def one_argument(text):
    return 0.0
"""


class Line(NamedTuple):
    """A command line and what is said of it.

    Attributes:
        words: what comes after SOUND.
        said: how the one line that counts begins, {here} as in `words`.
        refused: whether the run is refused; else it would start.
    """

    words: tuple[str, ...]
    said: str
    refused: bool = True


def refused(said: str, *words: str) -> Line:
    return Line(words, said)


def starts(said: str, *words: str) -> Line:
    return Line(words, said, refused=False)


ON = "AMIR on: amir_grpo over sync, beta 5, ratio 1, pairs all"
WINS = "amir-verl: AMIR's preset wins: "
IDLE = "amir-verl: without effect in this run: "
LINES = (
    # Presets.
    starts(ON, GRPO),
    starts(ON, "+amir=grpo"),
    starts("AMIR on: amir_gspo over sync", "+amir@_global_=gspo"),
    starts("AMIR on: advantage amir_grpo, loss vanilla over sync", "+amir@_global_=advantage"),
    refused("In 'ppo_trainer': Could not find 'amir/grop'", "+amir@_global_=grop"),
    refused("In 'ppo_trainer': Could not find 'amir/settings'", "+amir@_global_=settings"),
    refused("Could not override 'amir'", "amir=grpo"),
    refused("force-add of config groups is not supported: '++amir=grpo'", "++amir=grpo"),
    refused("two presets of AMIR, +amir=paper and +amir@_global_=grpo: keep one", GRPO, "+amir=paper"),
    refused("two presets of AMIR, ", "+amir@_global_=advantage", "+amir=grpo"),
    refused("+amir@trainer=grpo puts the preset under `trainer`", "+amir@trainer=grpo"),
    # The preset wins.
    starts(f"{WINS}{LOSS}=gspo is now amir_gspo", GRPO, f"{LOSS}=gspo"),
    starts(f"{WINS}{LOSS}=vanilla is now amir_grpo", GRPO, f"{LOSS}=vanilla"),
    starts(f"{WINS}{LOSS}=geo_mean is now amir_geo_mean", GRPO, f"{LOSS}=geo_mean"),
    starts(f"{WINS}{MODE}=sync is now amir_sync", GRPO, f"{MODE}=sync"),
    starts(f"{WINS}{MODE}=colocate_async is now amir_colocate_async", GRPO, f"{MODE}=colocate_async"),
    starts(f"{WINS}{ESTIMATOR}=gae is now grpo", GRPO, f"{ESTIMATOR}=gae"),
    starts(f"{WINS}{ESTIMATOR}=remax is now grpo", GRPO, f"{ESTIMATOR}=remax"),
    starts(ON, GRPO, f"{ESTIMATOR}=rloo"),
    starts(f"{WINS}{ESTIMATOR}=grpo is now amir_grpo", "+amir@_global_=advantage", f"{ESTIMATOR}=grpo"),
    starts(f"{WINS}{ESTIMATOR}=rloo is now amir_grpo", "+amir@_global_=advantage", f"{ESTIMATOR}=rloo"),
    # Put together by hand.
    refused("the run has no `amir` settings: add +amir@_global_=grpo", f"{LOSS}=amir_gspo"),
    refused("the run has no `amir` settings: add +amir@_global_=grpo", f"{MODE}=amir_sync"),
    refused("algorithm.adv_estimator=amir_grpo has no settings: add", f"{ESTIMATOR}=amir_grpo"),
    refused("amir.beta needs a preset of AMIR: add +amir@_global_=grpo", "amir.beta=1"),
    refused("amir.beta is set, but the run has no preset of AMIR: add", "+amir.beta=1"),
    refused("algorithm.amir is set, but the run has no preset", "+algorithm.amir.deviation=batch"),
    refused(
        "algorithm.adv_estimator=amir_grpo puts the preferences into the", GRPO, f"{ESTIMATOR}=amir_grpo"
    ),
    refused("algorithm.adv_estimator=amir_grpo puts", "+amir@_global_=advantage", f"{LOSS}=amir_gspo"),
    # Names that do not exist.
    refused("amir.betta is no setting of AMIR; nearest: beta, beta_scale", GRPO, "amir.betta=1"),
    refused("amir.betta is no setting of AMIR; nearest: beta, beta_scale", GRPO, "+amir.betta=1"),
    refused("amir.margin is no setting of AMIR; nearest: reward_margin", GRPO, "amir.margin=1"),
    refused("amir.qqqq is no setting of AMIR; known: beta, beta_scale, ", GRPO, "amir.qqqq=1"),
    refused(
        "algorithm.amir.deviaton is no setting of AMIR; nearest: deviation",
        "+amir@_global_=advantage",
        "algorithm.amir.deviaton=batch",
    ),
    refused("policy_loss.loss_mode=gsppo does not exist; nearest: gspo", GRPO, f"{LOSS}=gsppo"),
    refused("policy_loss.loss_mode=amir_gapo does not exist; nearest: amir_", GRPO, f"{LOSS}=amir_gapo"),
    refused(f"{MODE}=snyc does not exist for AMIR; nearest: sync", GRPO, f"{MODE}=snyc"),
    refused(f"{MODE}=amir_snyc does not exist for AMIR; nearest: amir_sync", GRPO, f"{MODE}=amir_snyc"),
    refused(
        f"{ESTIMATOR}=grppo does not exist; known: amir_grpo, best_of_group, gae, ",
        GRPO,
        f"{ESTIMATOR}=grppo",
    ),
    # Values out of range.
    refused("amir.beta must be above 0, got -1", GRPO, "amir.beta=-1"),
    refused("amir.beta must be a finite number, got 'high'", GRPO, "amir.beta=high"),
    refused("amir.beta must be a finite number, got None", GRPO, "amir.beta=null"),
    refused("amir.pair_mining must be one of all, topk, ", GRPO, "amir.pair_mining=best"),
    refused("amir.top_k must be a whole number of at least 1, got 1.5", GRPO, "amir.top_k=1.5"),
    refused(
        "amir.lambda_min (2) is above amir.lambda_max (1)", GRPO, "amir.lambda_min=2", "amir.lambda_max=1"
    ),
    refused("amir.lambda_target must be above 0", GRPO, "amir.lambda_target=0"),
    refused("amir.policy_weight=0 leaves amir.lambda_schedule=grad_ratio", GRPO, "amir.policy_weight=0"),
    # No pairs, or no weight.
    refused("AMIR compares responses of one prompt", GRPO, f"{ROLLOUT}.n=1"),
    refused("AMIR does not combine with verl's dist", GRPO, "distillation.enabled=True", f"{ROLLOUT}.n=1"),
    refused(
        "amir.top_k=4 of actor_rollout_ref.rollout.n=4 res", GRPO, "amir.pair_mining=topk", "amir.top_k=4"
    ),
    refused(
        "amir.reward_margin=2 leaves no pair, since reward_fns.math_reward pays 0 or 1",
        "+amir@_global_=paper",
    ),
    refused(
        "amir.reward_margin=2 leaves no pair, since verl's own rewards lie between -1 and 1",
        "+amir@_global_=paper",
        f"{REWARD}.path=null",
    ),
    starts(
        "AMIR on: amir_grpo over sync, beta 0.2, lambda from 0.01, pairs all, margin 2",
        "+amir@_global_=paper",
        f"{REWARD}.path=pkg://reward_fns.calibrated_reward",
    ),
    starts(
        f"{IDLE}amir.lambda_target=0.3 (under constant)",
        GRPO,
        "amir.lambda_schedule=constant",
        "amir.lambda_target=0.3",
    ),
    starts(f"{IDLE}amir.lambda_value=0.1 (under grad_ratio)", GRPO, "amir.lambda_value=0.1"),
    starts(f"{IDLE}amir.top_k=2 (with pair_mining=all)", GRPO, "amir.top_k=2"),
    starts(f"{IDLE}amir.max_pairs_per_group=6 (4 res", GRPO, "amir.max_pairs_per_group=6"),
    starts(f"{IDLE}amir.reference=none (no reference", GRPO, "amir.reference=none"),
    starts(
        f"{IDLE}amir.rank_weighting=log (every pair is one rank apart)",
        GRPO,
        "amir.pair_mining=adjacent",
        "amir.rank_weighting=log",
    ),
    starts(
        f"{IDLE}AMIR itself: lambda is 0",
        GRPO,
        "amir.lambda_schedule=constant",
        "amir.lambda_value=0",
    ),
    # What the run needs.
    refused("AMIR runs on verl's V1 trainer: set trainer.use_v1=True", GRPO, "trainer.use_v1=False"),
    refused("amir.reference=policy needs verl's reference policy", GRPO, "amir.reference=policy"),
    refused("data.train_files: no file {here}/trian.parquet", GRPO, "data.train_files={here}/trian.parquet"),
    refused("data.val_files: no file {here}/gone.parquet", GRPO, "data.val_files=[{here}/gone.parquet]"),
    refused("data.train_files: {here}/reward.py is no .parquet", GRPO, "data.train_files={here}/reward.py"),
    refused(f"{MODEL}.path: no folder {{here}}/modle", GRPO, f"{MODEL}.path={{here}}/modle"),
    refused(f"{MODEL}.path: no model in {{here}}", GRPO, f"{MODEL}.path={{here}}"),
    refused(f"{REWARD}.path: no file {{here}}/rewrad.py", GRPO, f"{REWARD}.path={{here}}/rewrad.py"),
    refused(f"{REWARD}.path: no module reward_fns.maths", GRPO, f"{REWARD}.path=pkg://reward_fns.maths"),
    refused(
        f"{REWARD}.path={{here}}/reward.py has no compute_scor; nearest: compute_score",
        GRPO,
        f"{REWARD}.path={{here}}/reward.py",
        f"{REWARD}.name=compute_scor",
    ),
    refused(
        "one_argument takes no data_source: verl calls it with data_source, ",
        GRPO,
        f"{REWARD}.path={{here}}/reward.py",
        f"{REWARD}.name=one_argument",
    ),
    refused(
        f"{REWARD}.reward_kwargs.wieght is no setting of compute_score; nearest: weight",
        GRPO,
        f"{REWARD}.path={{here}}/reward.py",
        f"+{REWARD}.reward_kwargs.wieght=2",
    ),
    refused(
        f"{REWARD}.reward_kwargs.rel_tool is no setting of compute_score; nearest: rel_tol",
        GRPO,
        f"+{REWARD}.reward_kwargs.rel_tool=0.1",
    ),
    refused(
        f"{REWARD}.path={{here}}/broken.py line 1 is no Python", GRPO, f"{REWARD}.path={{here}}/broken.py"
    ),
    refused(f"{FILTER}.enable=True needs a metric", GRPO, f"{FILTER}.enable=True", f"{FILTER}.metric=null"),
    refused(
        f"{FILTER}.metric=seq_reward does not", GRPO, f"{FILTER}.enable=True", f"{FILTER}.metric=seq_reward"
    ),
    refused(f"{FILTER}.metric=accc does not come", GRPO, f"{FILTER}.enable=True", f"{FILTER}.metric=accc"),
    refused(
        "ulysses_sequence_parallel_size=2 with attn_implementation=sdpa computes wrong",
        GRPO,
        f"{ACTOR}.fsdp_config.ulysses_sequence_parallel_size=2",
        f"+{MODEL}.override_config.attn_implementation=sdpa",
    ),
    refused(
        "amir_separate_async needs an engine that sends its weights: set",
        GRPO,
        f"{MODE}=separate_async",
        f"{ROLLOUT}.checkpoint_engine.backend=naive",
    ),
    # Ranked responses.
    refused(
        "{here}/test.parquet holds no ranked responses: `amir-verl prepare-ranked`", "+amir@_global_=ranked"
    ),
    # Without AMIR nothing is said, not even of what is missing.
    starts("", f"{MODEL}.path=/no/such/model", f"{ESTIMATOR}=grpo"),
)


def make_files(folder: Path) -> None:
    """What the lines name and is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    rows = pa.table({"data_source": ["a_set_of_ones_own"], "prompt": ["1 + 1"]})
    for name in ("train", "test"):
        pq.write_table(rows, folder / f"{name}.parquet")
    (folder / "reward.py").write_text(REWARD_FILE)
    (folder / "broken.py").write_text("def compute_score(:\n")


def words_of(line: Line, folder: Path) -> list[str]:
    """The whole command line."""
    return [word.format(here=folder) for word in (*SOUND, *line.words)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=len(LINES), help="how many of the list")
    count = parser.parse_args(arguments).first
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        for line in [one for one in LINES if one.refused][:count]:
            began = time.monotonic()
            ended = subprocess.run(
                [sys.executable, "-m", "verl.trainer.main_ppo", *words_of(line, folder)],
                cwd=folder,
                env=os.environ | {"VERL_PLATFORM": "cpu", "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                timeout=300,
            )
            lines = [one for one in ended.stderr.splitlines() if line.said.format(here=folder) in one]
            said = (lines or ["NOT SAID", *ended.stderr.splitlines()[-1:]])[0].replace(name, "FOLDER")
            words = " ".join(line.words).replace("{here}", "FOLDER")
            print(f"{time.monotonic() - began:5.1f} s  {words}\n         {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
