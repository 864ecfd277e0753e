"""How long to wait before trying again."""


def delay_s(failures: int, first_s: float, most_s: float) -> float:
    """Seconds after the n-th failure in a row: doubling from `first_s` up to `most_s`."""
    return min(first_s * 2.0 ** min(failures - 1, 30), most_s)
