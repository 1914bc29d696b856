"""What a profile counts of one field."""

import numpy as np
import pyarrow as pa

from kit.core.log.profiling.tally import Field, Places


def test_true_is_not_one_and_false_is_not_zero():
    field = Field("x")
    for kind, values in (("boolean", [True, True, False]), ("integer", [1, 0, 0, 0]), ("number", [1.0, 2.5])):
        field.add(kind, pa.array(values), Places(np.arange(len(values)), None))
    assert field.distinct.exact and field.distinct.count == 5
    counted = field.frequent.top(9)
    assert [value for value, _ in counted if value is True or value is False] == [True, False]
    assert [(repr(value), count) for value, count in counted] == [
        ("0", 3), ("1", 2), ("True", 2), ("2.5", 1), ("False", 1),
    ]  # fmt: skip
