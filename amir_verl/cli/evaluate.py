"""Sample a model on verl parquet files, score it, and print pass@k with 95 % intervals.

    amir-verl evaluate --model outputs/amir --data aime25,amc23 --samples 8 --temperature 0.6
    amir-verl evaluate --rows outputs/run/validation/200.jsonl

The first samples with vLLM and writes OUT/samples.parquet (a row a sample) and OUT/evaluation.json (settings
and results). The second prints the table of rows that are there: such a parquet file, a validation dump of
verl, or any JSON Lines with a prompt id and a correctness. See docs/evaluation.md.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from amir_verl.cli import complain


def main(arguments: Sequence[str] | None = None, *, prog: str = "evaluate") -> int:
    args = _parser(prog).parse_args(arguments)
    try:
        if args.rows:
            _summarise(args)
        else:
            _evaluate(args)
    except (ValueError, OSError) as error:
        return complain(prog, error)
    return 0


def _setting(text: str) -> tuple[str, object]:
    """KEY=VALUE, the value as JSON where it is JSON, else as text."""
    key, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="directory or hub name of the model to sample")
    what.add_argument("--rows", type=Path, help="file of sample rows to summarise instead")
    ask = parser.add_argument_group("sampling")
    ask.add_argument("--data", help="parquet files or names of sets, with commas between")
    ask.add_argument(
        "--data-dir", type=Path, default=Path("data"), help="where sets are looked up by name (data)"
    )
    ask.add_argument("--limit", type=int, help="at most this many questions of each file")
    ask.add_argument("--samples", type=int, default=8, help="responses a question (8)")
    ask.add_argument("--temperature", type=float, default=0.6)
    ask.add_argument("--top-p", type=float, default=1.0)
    ask.add_argument("--max-tokens", type=int, default=1024, help="length limit of a response (1024)")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument(
        "--engine", type=_setting, nargs="+", default=[], metavar="KEY=VALUE", help="settings of vllm.LLM"
    )
    ask.add_argument("--reward", default="reward_fns.math_reward", help="file or module")
    ask.add_argument("--reward-name", default="compute_score")
    ask.add_argument("--reward-kwargs", type=_setting, nargs="+", default=[], metavar="KEY=VALUE")
    ask.add_argument("--out", type=Path, default=Path("outputs/evaluation"), help="directory of the results")
    rows = parser.add_argument_group("rows")
    rows.add_argument("--prompt-key", help="field that names the problem")
    rows.add_argument("--correct-key", help="field that holds the correctness")
    rows.add_argument("--threshold", type=float, help="count scores of at least this as correct")
    return parser


def _summarise(args: argparse.Namespace) -> None:
    from amir_verl.evaluation.metrics.summary import format_summary, summaries_by_source
    from amir_verl.evaluation.sampling.samples import read_samples

    table = read_samples(
        args.rows, prompt_key=args.prompt_key, correct_key=args.correct_key, threshold=args.threshold
    )
    print(format_summary(summaries_by_source(table)))


def _evaluate(args: argparse.Namespace) -> None:
    from amir_verl.evaluation.metrics.summary import format_summary, summaries_by_source, summary_record
    from amir_verl.evaluation.sampling.questions import find_data, read_questions
    from amir_verl.evaluation.sampling.vllm_engine import (
        SamplingSettings,
        check_reward,
        encode_prompts,
        load_reward,
        sample_responses,
        score_completions,
    )

    if not args.data:
        raise ValueError("--model needs --data")
    settings = SamplingSettings(
        args.samples, args.temperature, args.top_p, args.max_tokens, args.seed, dict(args.engine)
    )
    reward = load_reward(args.reward, args.reward_name, **dict(args.reward_kwargs))
    paths = find_data(args.data.split(","), args.data_dir)
    questions = [question for path in paths for question in read_questions(path, limit=args.limit)]
    check_reward(questions, reward)
    prompts = encode_prompts(args.model, questions, max_tokens=args.max_tokens)
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"{len(questions)} questions x {args.samples} responses from {args.model}")
    table = score_completions(questions, sample_responses(args.model, prompts, settings), reward)
    table.to_parquet(args.out / "samples.parquet")
    summaries = summaries_by_source(table)
    record = {
        "model": args.model,
        "data": [str(path) for path in paths],
        "reward": f"{args.reward}:{args.reward_name}",
        "sampling": asdict(settings),
        "versions": {name: version(name) for name in ("transformers", "torch")},
        "results": {name: summary_record(summary) for name, summary in summaries.items()},
    }
    (args.out / "evaluation.json").write_text(json.dumps(record, indent=2) + "\n")
    print(format_summary(summaries))
    if "timeout" in table and table["timeout"].sum():
        print(f"{int(table['timeout'].sum())} answers took too long to check and count as wrong")
    print(f"wrote {args.out / 'samples.parquet'}")


if __name__ == "__main__":
    sys.exit(main())
