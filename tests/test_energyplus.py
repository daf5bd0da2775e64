from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from bemsweep import energyplus
from bemsweep.energyplus import Build, Executable, Library, build_at, find_builds, load
from bemsweep.errors import EngineNotFoundError, InfrastructureError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="starts scripts")

SCRIPT = """#!{python}
import os, sys
if "--version" in sys.argv:
    print({version!r})
    sys.exit({returncode})
open("arguments", "w").write("\\n".join(sys.argv[1:]))
{action}
"""


def program(folder, *, name="energyplus", version="EnergyPlus, Version 25.2.0-test", returncode=0, action="") -> Path:
    path = folder / name
    path.write_text(SCRIPT.format(python=sys.executable, version=version, returncode=returncode, action=action))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def no_wheel(monkeypatch, tmp_path):
    monkeypatch.setattr(energyplus, "_library_of_wheel", lambda: None)
    monkeypatch.delenv("ENERGYPLUS_DIR", raising=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


def test_what_somebody_set_comes_before_the_library_of_the_wheel(monkeypatch, tmp_path):
    path = program(tmp_path)
    assert build_at().kind == "library"
    monkeypatch.setenv("ENERGYPLUS_DIR", str(tmp_path))
    first, second, *_ = find_builds()
    assert first == Build("executable", path)
    assert second.kind == "library"
    assert build_at() == first


@pytest.mark.usefixtures("no_wheel")
def test_folder_of_the_environment_comes_before_the_path(monkeypatch, tmp_path):
    folders = [tmp_path / name for name in ("chosen", "on_path")]
    for folder in folders:
        folder.mkdir()
    chosen, on_path = (program(folder) for folder in folders)
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert build_at() == Build("executable", on_path)
    monkeypatch.setenv("ENERGYPLUS_DIR", str(chosen.parent))
    assert find_builds() == [Build("executable", chosen), Build("executable", on_path)]


@pytest.mark.usefixtures("no_wheel")
def test_nothing_found_says_what_to_install():
    with pytest.raises(EngineNotFoundError, match=r"pip install pyenergyplus-lbnl==25\.2\.0.*ENERGYPLUS_DIR"):
        build_at()


def test_program_and_its_folder_name_the_same_build(tmp_path):
    path = program(tmp_path)
    assert build_at(path) == build_at(str(tmp_path)) == Build("executable", path)


def test_a_wheel_unpacked_into_a_folder_is_a_build_too(tmp_path):
    own = next(build.path for build in find_builds() if build.kind == "library")
    library = tmp_path / own.name
    library.symlink_to(own)
    assert build_at(tmp_path) == build_at(library) == Build("library", library)
    path = program(tmp_path)
    assert build_at(tmp_path) == Build("executable", path), "an installed EnergyPlus has both"


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a text"])
def test_spec_that_is_no_energyplus(tmp_path, what):
    spec = tmp_path / "it"
    if what == "an empty folder":
        spec.mkdir()
    elif what == "a text":
        spec.write_text("text")
    with pytest.raises(EngineNotFoundError, match="it"):
        build_at(spec)


def test_executable_tells_its_version(tmp_path):
    assert load(Build("executable", program(tmp_path))).version == "EnergyPlus, Version 25.2.0-test"


@pytest.mark.parametrize(("version", "returncode"), [("bash 5", 0), ("EnergyPlus", 2)])
def test_program_that_is_no_energyplus(tmp_path, version, returncode):
    with pytest.raises(EngineNotFoundError):
        Executable(program(tmp_path, version=version, returncode=returncode))


def test_file_that_is_no_library(tmp_path):
    (tmp_path / "lib.so").write_text("no library")
    with pytest.raises(EngineNotFoundError, match=r"lib\.so cannot be loaded"):
        Library(tmp_path / "lib.so")


@pytest.mark.parametrize(
    ("has_templates", "has_expander", "first"), [(True, True, "-x"), (True, False, "-d"), (False, True, "-d")]
)
def test_templates_are_expanded_where_they_can_be(tmp_path, has_templates, has_expander, first):
    path = program(tmp_path)
    if has_expander:
        program(tmp_path, name="ExpandObjects")
    run = tmp_path / "run"
    run.mkdir()
    model, weather = run / "in.idf", tmp_path / "w.epw"
    assert Executable(path).simulate(model, weather, has_templates=has_templates) == 0
    arguments = (run / "arguments").read_text().splitlines()
    assert arguments[0] == first
    assert arguments[-5:] == ["-d", str(run), "-w", str(weather), str(model)]


@pytest.mark.parametrize(("action", "returncode"), [("sys.exit(1)", 1), ("os.kill(os.getpid(), 11)", -11)])
def test_exit_code_and_signal_are_handed_on(tmp_path, action, returncode):
    executable = Executable(program(tmp_path, action=action))
    assert executable.simulate(tmp_path / "in.idf", tmp_path / "w.epw") == returncode


def test_executable_that_went_away(tmp_path):
    path = program(tmp_path)
    executable = Executable(path)
    path.unlink()
    with pytest.raises(InfrastructureError, match="cannot be started"):
        executable.simulate(tmp_path / "in.idf", tmp_path / "w.epw")
