"""What a mask leaves is as it was, and what it hides is given to its function as a plain value."""

import pyarrow as pa
import pytest

from kit.core.errors import InputError
from kit.core.log.copying.mask import Mask


def masked(body, **ways):
    return Mask(ways, None).page(pa.array([body], pa.binary()), pa.array([7])).to_pylist()[0]


@pytest.mark.parametrize(
    "number",
    ["99999999999999.9999", "1.10", "1e2", "1E+2", "-0", "-0.0", "1e400", "123456789012345678901234567890", "0.5", "7"],
)
def test_numbers_beside_what_is_hidden_keep_all_their_digits(number):
    body = b'{"e":"x","n":%(n)b,"in":[%(n)b,{"n":%(n)b}]}' % {b"n": number.encode()}
    assert masked(body, e="null") == body.replace(b'"x"', b"null")


def test_functions_get_plain_values():
    seen = []
    masked(b'{"a":1.50,"b":{"c":[1.10,2]},"d":"1.10"}', a=seen.append, b=seen.append, d=seen.append)
    assert seen == [1.5, {"c": [1.1, 2]}, "1.10"]
    assert masked(b'{"a":1.50}', a="hash") == masked(b'{"a":1.5}', a="hash")
    assert masked(b'{"a":12345.670}', a="last4") == b'{"a":"****5.67"}'


def test_what_cannot_be_hidden_is_not_sent():
    with pytest.raises(InputError, match="record at 7 is not a JSON object"):
        masked(b'{"a":1,"a":2}', a="drop")
