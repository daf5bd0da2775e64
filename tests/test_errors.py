"""The tree of errors, its messages and its way across process borders."""

from __future__ import annotations

import pickle

import pytest

from bemsweep import errors
from bemsweep.errors import (
    BemsweepError,
    ClusterFileError,
    InfrastructureError,
    ModelError,
    Problem,
    StoreError,
    StudyError,
    nearest,
    shortened,
)

CLASSES = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
OF_PROBLEMS = (StudyError, ClusterFileError)


@pytest.mark.parametrize("kind", CLASSES)
def test_all_are_one_tree_drawn_in_the_docstring(kind):
    assert issubclass(kind, BemsweepError)
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in OF_PROBLEMS])
def test_all_can_be_pickled(kind):
    error = pickle.loads(pickle.dumps(kind("what happened")))
    assert type(error) is kind
    assert str(error) == "what happened"


@pytest.mark.parametrize("kind", OF_PROBLEMS)
def test_problems_are_kept_when_pickled(kind):
    problems = [Problem("wrong", "parameters.x", 3), Problem("also wrong")]
    error = pickle.loads(pickle.dumps(kind(problems)))
    assert type(error) is kind
    assert list(error.problems) == problems
    assert str(error) == str(kind(problems))


def test_study_error_tells_all_problems_with_their_places():
    told = str(StudyError([Problem("a", "x.y", 3), Problem("b", line=4), Problem("c", "z"), Problem("d")]))
    assert told == "the study has 4 problems:\n  a @ x.y, line 3\n  b @ line 4\n  c @ z\n  d"
    assert str(StudyError(iter([Problem("a")]))).startswith("the study has 1 problem:")


def test_a_models_fault_and_a_machines_fault_share_no_class():
    assert not issubclass(ModelError, InfrastructureError)
    assert issubclass(StoreError, InfrastructureError)


def test_nearest_ignores_case_and_keeps_the_spelling():
    assert nearest("LIGTHS", ["Lights", "People"]) == " (did you mean 'Lights'?)"
    assert nearest("", ["Lights"]) == ""
    assert nearest("Lights", []) == ""


def test_a_problem_shows_no_password_of_a_url():
    assert "hunter22" not in str(StudyError([Problem("'https://me:hunter22@host/x' is none of them", "design_days")]))


def test_a_broken_file_does_not_fill_the_screen():
    problem = Problem("row 3 holds '" + 100_000 * "x" + "', which is no number", "weather.here", 3)
    assert str(problem) == "row 3 holds '" + 199 * "x" + "… which is no number @ weather.here, line 3"
    path = "/" + 10 * "a folder/" + 255 * "x"
    assert shortened(path) == path, "no name of a file is cut"
