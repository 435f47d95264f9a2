"""How two answers are compared."""

from dataclasses import dataclass

from reward_fns.symbolic_engine import EngineTime


@dataclass(frozen=True)
class Comparison:
    """How answers are compared.

    The engine's clock, the relative tolerance between numbers (0: exact), whether a number must be written as
    one and not as `2+3`, whether the engine may be asked, and whether the two are parts of others.
    """

    engine_time: EngineTime
    rel_tol: float = 0.0
    require_value: bool = False
    use_engine: bool = True
    inside: bool = False
