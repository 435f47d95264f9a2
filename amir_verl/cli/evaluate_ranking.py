"""How well a model's log-probabilities order given responses.

    amir-verl evaluate-ranking --model outputs/ranked --data data/ranked_validation.parquet

Scores every response with its mean log-probability per token, prints agreement with the rankings (95 %
intervals) and how much of the order survives cut and paraphrased prompts, and writes OUT/ranking.json,
OUT/scores.jsonl and OUT/ranking.png. See docs/evaluation.md.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from amir_verl.cli import complain


def main(arguments: Sequence[str] | None = None, *, prog: str = "evaluate_ranking") -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="directory or hub name")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="ranked .parquet, .jsonl or .json"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/ranking"), help="directory of the results")
    parser.add_argument("--k", type=int, help="cut-off of nDCG; else all responses")
    parser.add_argument(
        "--keep",
        type=float,
        nargs="*",
        default=[0.75, 0.5],
        help="shares of the prompt's words to keep (0.75 0.5)",
    )
    parser.add_argument("--limit", type=int, help="at most this many prompts of each file")
    parser.add_argument("--device", help="torch device; else a GPU where there is one")
    parser.add_argument("--dtype", default="auto", help="of the weights (auto)")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens of one forward pass (4096)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    args = parser.parse_args(arguments)
    try:
        for share in args.keep:
            if not 0 < share < 1:
                raise ValueError(f"--keep {share}: a share lies between 0 and 1")
        _evaluate(args)
    except (ValueError, OSError) as error:
        return complain(prog, error)
    return 0


def _evaluate(args: argparse.Namespace) -> None:
    from amir_verl.evaluation.comparison.charts import chart_style
    from amir_verl.evaluation.ranking.chart import ranking_figure
    from amir_verl.evaluation.ranking.groups import (
        format_ranking,
        order_kept,
        ranked_order_kept,
        ranking_estimates,
        read_ranked_groups,
    )

    groups = [group for path in args.data for group in read_ranked_groups(path, limit=args.limit)]

    # Seconds to import: after what may be refused.
    from amir_verl.evaluation.ranking.response_scores import ResponseScorer, cut_prompt, paraphrased_prompt

    scorer = ResponseScorer(args.model, device=args.device, dtype=args.dtype, batch_tokens=args.batch_tokens)
    prompts = [group.messages for group in groups]
    responses = [group.group.responses for group in groups]
    rankings = [group.group.rankings for group in groups]
    scores = scorer.scores(prompts, responses, description="given prompts")
    kept = {"as ranked": ranked_order_kept(scores, rankings)}
    for share in args.keep:
        cut = scorer.scores(
            [cut_prompt(p, share) for p in prompts], responses, description=f"cut to {share:.0%}"
        )
        kept[f"prompt cut to {100 * share:.0f} %"] = order_kept(scores, cut, rankings)
    reworded = [(i, other) for i, group in enumerate(groups) for other in group.paraphrases]
    if reworded:
        others = [paraphrased_prompt(prompts[i], other) for i, other in reworded]
        chosen = [i for i, _ in reworded]
        found = scorer.scores(others, [responses[i] for i in chosen], description="paraphrases")
        kept["prompt paraphrased"] = order_kept(
            [scores[i] for i in chosen], found, [rankings[i] for i in chosen]
        )
    estimates = ranking_estimates(scores, rankings, k=args.k, seed=args.seed)
    print(format_ranking(estimates, kept, k=args.k))

    args.out.mkdir(parents=True, exist_ok=True)
    record = {
        "model": args.model,
        "data": [str(path) for path in args.data],
        "ndcg_k": args.k,
        "metrics": {name: asdict(estimate) for name, estimate in estimates.items()},
        "order_kept": {name: asdict(row) for name, row in kept.items()},
    }
    (args.out / "ranking.json").write_text(json.dumps(record, indent=2) + "\n")
    with (args.out / "scores.jsonl").open("w") as lines:
        for group_scores, ranking in zip(scores, rankings, strict=True):
            lines.write(json.dumps({"scores": group_scores, "rankings": ranking}) + "\n")
    with chart_style():
        ranking_figure(scores, rankings, kept).savefig(args.out / "ranking.png", dpi=200, facecolor="white")
    print(f"wrote {args.out / 'ranking.png'}")


if __name__ == "__main__":
    sys.exit(main())
