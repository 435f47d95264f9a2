"""`reward_fns.math_reward` beside verl's math_verify reward: speed, verdicts, and its worst responses.

    python -m benchmarks.rewards [--only speed|judges|worst] [--answers N] [--data DIR]

Speed: answers a second of both on the same real answers.

GSM8K-like: the authors' worked solutions, right and with another number at the end. MATH-like: solutions with
a boxed LaTeX answer (Minerva) and OlympiadBench's final answers behind their worked solutions, right and
perturbed. Both rewards get every answer in turn, in small interleaved rounds, so that a busy machine slows
both; the ratio is what counts. verl's reward is called as verl calls it, through its process pool; its
start-up is not counted.

Judges: the cases of benchmarks/judges.py through both. Worst: the responses of benchmarks/reward_shapes.py.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import judges
from benchmarks.reward_shapes import LENGTHS, THREADS, worst_inside_the_engine, worst_outside_the_engine
from reward_fns.math_reward import compute_score

ROUNDS = 60
TARGETS = {"GSM8K-like": 20.0, "MATH-like": 3.0}
_NUMBER = re.compile(r"[0-9]+")


def read_rows(data: Path, name: str) -> list[dict]:
    """The test rows of one data set."""
    with open(data / name / "test.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def boxed_content(solution: str) -> tuple[int, int]:
    """Where the content of the last box begins and ends."""
    start = solution.rindex("\\boxed{") + len("\\boxed{")
    depth = 1
    for end in range(start, len(solution)):
        depth += (solution[end] == "{") - (solution[end] == "}")
        if depth == 0:
            return start, end
    raise ValueError(f"unbalanced box in {solution[start - 20 : start + 40]!r}")


def perturbed(answer: str, rng: random.Random) -> str:
    """A wrong answer close to the right one: one number of it is larger, or it has one more term."""
    numbers = list(_NUMBER.finditer(answer))
    if not numbers:
        return answer + "+1"
    number = rng.choice(numbers)
    return f"{answer[: number.start()]}{int(number.group()) + rng.randint(1, 9)}{answer[number.end() :]}"


def gsm8k_answers(data: Path, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """(response, gold), half of them wrong. The answer is boxed, which both rewards read."""
    pairs = []
    for row in rng.sample(read_rows(data, "gsm8k"), count):
        body, _, gold = row["answer"].rpartition("####")
        gold = gold.strip().replace(",", "")
        answer = gold if rng.random() < 0.5 else perturbed(gold, rng)
        pairs.append((f"{re.sub('<<.*?>>', '', body).strip()}\nThe answer is \\boxed{{{answer}}}.", gold))
    return pairs


def math_answers(data: Path, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """(response, gold), half of them wrong, LaTeX answers among them."""
    pairs = []
    for row in read_rows(data, "minerva_math"):
        start, end = boxed_content(row["solution"])
        gold = row["solution"][start:end]
        answer = gold if rng.random() < 0.5 else perturbed(gold, rng)
        pairs.append((row["solution"][:start] + answer + row["solution"][end:], gold))
    for row in read_rows(data, "olympiadbench"):
        gold = row["final_answer"][0].strip("$")
        answer = gold if rng.random() < 0.5 else perturbed(gold, rng)
        pairs.append((f"{row['solution'][0]}\n\nThe answer is $\\boxed{{{answer}}}$.", gold))
    return rng.sample(pairs, min(count, len(pairs)))


def measure(pairs: list[tuple[str, str]]) -> tuple[float, float, int, list[tuple[str, str, float, float]]]:
    """Seconds of ours, seconds of verl's, equal verdicts, and the pairs the two disagree on."""
    from verl.utils.reward_score.math_verify import compute_score as verl_score

    seconds, verdicts = {"ours": 0.0, "verl": 0.0}, {"ours": [], "verl": []}
    rewards = {
        "ours": lambda response, gold: compute_score("benchmark", response, gold)["score"],
        "verl": lambda response, gold: verl_score(response, gold),
    }
    for reward in rewards.values():  # start the worker processes
        for gold in ("\\frac{1}{2}", "x+1", "\\sqrt{2}", "3"):
            reward("\\boxed{1+x}", gold)
    for start in range(ROUNDS):
        for name, reward in rewards.items():
            begin = time.perf_counter()
            verdicts[name] += [reward(response, gold) for response, gold in pairs[start::ROUNDS]]
            seconds[name] += time.perf_counter() - begin
    order = [pair for start in range(ROUNDS) for pair in pairs[start::ROUNDS]]
    scored = zip(order, verdicts["ours"], verdicts["verl"], strict=True)
    differing = [(gold, response, ours, verl) for (response, gold), ours, verl in scored if ours != verl]
    return seconds["ours"], seconds["verl"], len(order) - len(differing), differing


def print_speed(data: Path, answers: int, seed: int) -> None:
    """One line a kind of answer, and the answers that the two rewards judge differently."""
    rng = random.Random(seed)
    kinds = {"GSM8K-like": gsm8k_answers(data, answers, rng), "MATH-like": math_answers(data, answers, rng)}
    columns = "{:<12}{:>7}{:>10}{:>10}{:>9}{:>9}{:>18}"
    print(columns.format("answers", "count", "ours/s", "verl/s", "ratio", "target", "equal verdicts"))
    for kind, pairs in kinds.items():
        ours, verl, equal, differing = measure(pairs)
        count = len(pairs)
        rates = [f"{count / ours:.0f}", f"{count / verl:.0f}", f"{verl / ours:.1f}", f"{TARGETS[kind]:.0f}"]
        print(columns.format(kind, count, *rates, f"{equal} of {count}"))
        for gold, response, our_verdict, verl_verdict in differing:
            start, end = boxed_content(response)
            answer = response[start:end]
            print(f"    gold {gold!r}, answer {answer!r}: ours {our_verdict:g}, verl {verl_verdict:g}")


def print_judges(data: Path) -> None:
    """How both rewards judge the four sets of cases."""
    from verl.utils.reward_score.math_verify import compute_score as verl_score

    def ours(case: judges.Case) -> bool:
        result = compute_score("judges", case.response, case.gold, timeout_s=30.0, **case.settings)
        return result["acc"] == 1.0

    graders: dict[str, Callable[[judges.Case], bool]] = {
        "ours": ours,
        "verl": lambda case: verl_score(case.response, case.gold) == 1.0,
    }
    sets = {
        "other graders' tests": judges.public_cases(data),
        "Math-Verify's tests": judges.math_verify_cases(),
        "wrong answers": judges.adversarial_cases(),
        "right answers": judges.honest_cases(),
    }
    columns = "{:<22}{:>7}{:>7}{:>7}{:>14}{:>16}"
    print(columns.format("judge", "grader", "cases", "agree", "paid, wrong", "refused, right"))
    for name, cases in sets.items():
        for grader, pays in graders.items():
            found = judges.tally(cases, pays)
            counts = found.cases, found.agree, len(found.paid_wrong), len(found.refused_right)
            print(columns.format(name, grader, *counts))


def print_worst() -> None:
    """The longest that one response takes, outside the engine by length, and in it from several threads."""
    for length in LENGTHS:
        worst = worst_outside_the_engine(length)
        print(f"{length:>5} characters, outside the engine: {1000 * worst.seconds:.1f} ms, {worst.shape}")
    worst, answers, timeouts = worst_inside_the_engine()
    print(
        f"{answers} stalling answers, {THREADS} threads: {worst.seconds:.2f} s, {timeouts} timeouts,",
        worst.shape,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("speed", "judges", "worst"), help="one of the three")
    parser.add_argument("--answers", type=int, default=600, help="answers of each kind, for the speed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=judges.shared_data(), help="folder of the data sets")
    arguments = parser.parse_args()
    if arguments.only != "worst" and not (arguments.data / "gsm8k" / "test.jsonl").is_file():
        parser.error(f"no gsm8k/test.jsonl in {arguments.data}; give --data or set AMIR_SHARED_DATA")
    if arguments.only in (None, "speed"):
        print_speed(arguments.data, arguments.answers, arguments.seed)
    if arguments.only in (None, "judges"):
        print_judges(arguments.data)
    if arguments.only in (None, "worst"):
        print_worst()


if __name__ == "__main__":
    main()
