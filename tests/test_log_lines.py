from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from bemsweep.log_lines import Line, collect, end_collecting, of_run, tell, tell_warning


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    """What a run named ``a`` is told."""
    found: list[Line] = []
    collect("a", found.append)
    yield found
    end_collecting("a")


def test_a_line_is_of_the_thread_s_run_and_variant(lines: list[Line]) -> None:
    with of_run("a", "v1"):
        tell("begun")
        tell("of another", variant="v2")
        with of_run("b"):
            tell("not ours")
    tell_warning("nobody's, so everybody's")
    assert [(line.variant, line.text) for line in lines] == [
        ("v1", "begun"), ("v2", "of another"), ("", "nobody's, so everybody's"),
    ]  # fmt: skip
    assert [line.level for line in lines] == [logging.INFO, logging.INFO, logging.WARNING]


def test_other_threads_have_variants_of_their_own(lines: list[Line]) -> None:
    def work(variant: str) -> None:
        with of_run("a", variant):
            barrier.wait()
            tell(f"I am {variant}")

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work, args=[f"v{number}"]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.text for line in lines) == [f"I am v{number}" for number in range(4)]
    assert all(line.text == f"I am {line.variant}" for line in lines)


def test_warnings_of_bemsweep_s_loggers_are_lines_and_go_where_they_went(
    lines: list[Line], caplog: pytest.LogCaptureFixture
) -> None:
    with of_run("a", "v1"):
        logging.getLogger("bemsweep.some").warning("look: %d", 3)
        logging.getLogger("elsewhere").warning("no")
    assert [(line.variant, line.text) for line in lines] == [("v1", "look: 3")]
    assert "look: 3" in caplog.messages


def test_a_warning_that_python_would_print_is_printed(
    lines: list[Line], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`logging` prints what has no handler; ours is none that shows anything."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("bemsweep.some").warning("look")
    assert capsys.readouterr().err == "look\n"
    assert len(lines) == 1


def test_nothing_is_left_of_who_collects_no_more(lines: list[Line]) -> None:
    handlers = logging.getLogger("bemsweep").handlers
    assert len(handlers) == 1
    collect("b", lines.append)
    end_collecting("b")
    assert len(handlers) == 1
    end_collecting("a")
    assert not handlers
    tell("into the void")
    assert lines == []
