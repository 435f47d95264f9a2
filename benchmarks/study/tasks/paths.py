"""Paths: a way through a small random graph, from one node to another, without meeting a node twice.

`ac bd ab ... a d` lists the edges, the start and the end; `a b d` answers. Any such path is right, long or
short, so most problems have several right answers.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

NODES, EDGES = "abcdefghi", 13
_EDGE_WORDS = tuple(first + second for first, second in combinations(NODES, 2))
WORDS = (*NODES, *_EDGE_WORDS)
_HELD_OUT_SHARE = 8


@dataclass(frozen=True)
class PathProblem:
    """Go from `start` to `end` along `edges`, pairs of nodes in the order of the alphabet."""

    edges: tuple[str, ...]
    start: str
    end: str

    @property
    def question(self) -> str:
        return " ".join([*self.edges, self.start, self.end])

    @property
    def held_out(self) -> bool:
        """Whether the problem is for measuring alone, whatever the order of its edges."""
        key = repr((sorted(self.edges), self.start, self.end)).encode()
        return zlib.crc32(key) % _HELD_OUT_SHARE == 0

    def is_right(self, response: str) -> bool:
        nodes = self._nodes(response)
        return bool(nodes) and nodes[-1] == self.end and self._good_steps(nodes) == len(nodes) - 1

    def grade(self, response: str) -> float:
        """1 for a path, else half the share of its steps that follow an edge to a new node."""
        if self.is_right(response):
            return 1.0
        nodes = self._nodes(response)
        return 0.5 * self._good_steps(nodes) / max(len(nodes), 2) if nodes else 0.0

    def _nodes(self, response: str) -> list[str]:
        """The nodes that a response names, beginning at the start; none if it is anything else."""
        nodes = response.split() if len(response) <= 4 * len(NODES) else []
        known = all(len(node) == 1 and node in NODES for node in nodes)
        return nodes if known and len(nodes) > 1 and nodes[0] == self.start else []

    def _good_steps(self, nodes: list[str]) -> int:
        """How many steps lead along an edge to a node that was not met before."""
        met, good = set(nodes[:1]), 0
        for here, there in pairwise(nodes):
            good += there not in met and "".join(sorted(here + there)) in self.edges
            met.add(there)
        return good


def neighbours(problem: PathProblem) -> dict[str, list[str]]:
    """The nodes at the other ends of each node's edges."""
    found = {node: [] for node in NODES}
    for first, second in problem.edges:
        found[first].append(second)
        found[second].append(first)
    return found


def paths(problem: PathProblem) -> list[list[str]]:
    """All right answers."""
    beside = neighbours(problem)
    found, waiting = [], [[problem.start]]
    while waiting:
        path = waiting.pop()
        if path[-1] == problem.end:
            found.append(path)
            continue
        waiting += [[*path, node] for node in beside[path[-1]] if node not in path]
    return found


def random_path(problem: PathProblem, rng: random.Random, tries: int = 20) -> list[str]:
    """A right answer, by random walks to new nodes; empty where none of them arrives."""
    beside = neighbours(problem)
    for _ in range(tries):
        path = [problem.start]
        while path[-1] != problem.end:
            onward = [node for node in beside[path[-1]] if node not in path]
            if not onward:
                break
            path.append(rng.choice(onward))
        else:
            return path
    return []


def demonstrations(seed: int, held_out: bool = False) -> Iterator[tuple[PathProblem, str]]:
    """Endless stream of problems whose ends no edge joins, each with the path of a random walk."""
    rng = random.Random(seed)
    while True:
        edges = rng.sample(_EDGE_WORDS, EDGES)
        start, end = rng.sample(NODES, 2)
        problem = PathProblem(tuple(edges), start, end)
        if "".join(sorted(start + end)) in edges or problem.held_out != held_out:
            continue
        path = random_path(problem, rng)
        if path:
            yield problem, " ".join(path)


def problems(seed: int, total: int, held_out: bool) -> list[PathProblem]:
    found: dict[PathProblem, None] = {}
    for problem, _ in demonstrations(seed, held_out):
        found[problem] = None
        if len(found) == total:
            return list(found)
    raise AssertionError("the stream of problems is endless")


def task() -> tuple:
    """The fields of a `Task`."""
    return WORDS, len(NODES) + 1, demonstrations, problems, 350
