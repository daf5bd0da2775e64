from __future__ import annotations

import hashlib

import pytest

from bemsweep.shares import Share

IDS = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(3000)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_every_variant_is_in_one_share_and_shares_are_about_equal(count: int) -> None:
    shares = [list(Share(number, count).of(IDS)) for number in range(1, count + 1)]
    assert sorted(one for share in shares for one in share) == sorted(IDS)
    even = len(IDS) / count
    assert all(abs(len(share) - even) < 4.5 * even**0.5 for share in shares)


def test_a_variant_keeps_its_share_while_the_study_grows() -> None:
    assert set(Share(2, 5).of(IDS[:100])) <= set(Share(2, 5).of(IDS))


@pytest.mark.parametrize("numbers", [(0, 3), (4, 3), (-1, 3), (1, 0), (1.0, 3), (True, 3), ("1", 3)])
def test_a_share_that_is_not_there_is_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="there is no share"):
        Share(*numbers)


@pytest.mark.parametrize("text", ["", "2", "2/", "2/3/4", "a/b", "-1/3", "1.5/3"])
def test_a_text_that_names_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2/8"):
        Share.from_text(text)


def test_a_share_is_read_as_it_is_written() -> None:
    assert Share.from_text(" 2 / 8") == Share.from_text(str(Share(2, 8))) == Share(2, 8)
