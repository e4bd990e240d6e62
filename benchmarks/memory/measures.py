"""How good an order of sessions is for a question whose answers are known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Score:
    """What one ranker did over many questions: shares of 1, and milliseconds."""

    name: str
    found: list[tuple[Sequence[str], frozenset[str]]] = field(default_factory=list)
    taken_ms: list[float] = field(default_factory=list)

    def add(self, order: Sequence[str], gold: frozenset[str], taken_ms: float) -> None:
        """Notes the answer to one question, best first."""
        self.found.append((order, gold))
        self.taken_ms.append(taken_ms)

    def recall(self, most: int) -> float:
        """R@most: the share of a question's gold among the first, over all questions."""
        return self._mean([len(gold.intersection(order[:most])) / len(gold) for order, gold in self.found])

    def any(self, most: int) -> float:
        """The share of questions with any gold among the first."""
        return self._mean([float(bool(gold.intersection(order[:most]))) for order, gold in self.found])

    def ndcg(self, most: int = 10) -> float:
        """NDCG@most; gold counts 1, everything else 0."""
        return self._mean([_ndcg(order[:most], gold, most) for order, gold in self.found])

    def mrr(self) -> float:
        """One divided by the place of the first gold, 0 where it is not in the answer."""
        return self._mean(
            [next((1 / place for place, one in enumerate(order, 1) if one in gold), 0.0) for order, gold in self.found]
        )

    def median_ms(self) -> float:
        """The middle of the milliseconds a question took."""
        return statistics.median(self.taken_ms) if self.taken_ms else 0.0

    def _mean(self, values: list[float]) -> float:
        return sum(values) / len(values) if values else 0.0


def _ndcg(order: Sequence[str], gold: frozenset[str], most: int) -> float:
    gained = sum(1 / math.log2(place + 1) for place, one in enumerate(order, 1) if one in gold)
    best = sum(1 / math.log2(place + 1) for place in range(1, min(len(gold), most) + 1))
    return gained / best if best else 0.0


def table(title: str, scores: Sequence[Score]) -> None:
    """Prints the scores, one line a ranker."""
    print(f"{title}, n = {len(scores[0].found) if scores else 0}")
    print(f"  {'':44}   R@5  R@10 any@5 NDCG@10   MRR  ms (median)")
    for one in scores:
        print(
            f"  {one.name:44} {one.recall(5):5.3f} {one.recall(10):5.3f} {100 * one.any(5):5.1f}"
            f"   {one.ndcg():5.3f} {one.mrr():5.3f} {one.median_ms():9.1f}"
        )
