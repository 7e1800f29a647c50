"""Fixtures of the jobs' tests: a runner with a scripted worker process, which is a real process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTED = Path(__file__).with_name("scripted_worker.py")


@pytest.fixture
def jobs(application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package `jobs`, whose temporary folders go to `tmp_path / "temporary"`."""
    from SegMambaSlicerLib import jobs
    from SegMambaSlicerLib.jobs import temporary

    monkeypatch.setattr(temporary, "temporary_base", lambda: tmp_path / "temporary")
    return jobs


@pytest.fixture
def make_runner(jobs: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`make_runner(mode, **options)`: a runner with the scripted worker; every one is shut down after the test."""
    runners = []

    def make(mode: str = "", **options: Any) -> Any:
        python = options.pop("python", [sys.executable, str(SCRIPTED), mode])
        runners.append(jobs.Runner(python, options.pop("package_folder", tmp_path), **options))
        return runners[-1]

    yield make
    for runner in runners:
        runner.shut_down()


@pytest.fixture
def runner(make_runner: Callable[..., Any]) -> Any:
    """A runner with the scripted worker."""
    return make_runner()


@pytest.fixture
def job(jobs: ModuleType) -> Callable[..., Any]:
    """`job(*steps)`: a job with a script, see scripted_worker.py."""

    def make(*steps: list, **options: Any) -> Any:
        return jobs.Job("a job", {"model": "m", "script": list(steps)}, **options)

    return make


@pytest.fixture
def until(jobs: ModuleType) -> Callable[..., None]:
    """`until(condition)`: lets the application live until it holds; at most ten seconds."""
    import qt
    from SegMambaSlicerLib.jobs.waiting import wait_until

    def wait(condition: Callable[[], bool], seconds: float = 10) -> None:
        ticks = qt.QTimer()  # the condition may come true without an event of the application's
        ticks.start(20)
        assert wait_until(condition, seconds)
        ticks.stop()

    return wait


@pytest.fixture
def temporary_files(tmp_path: Path) -> Callable[[], list[Path]]:
    """What lies in the folder for temporary files now."""
    return lambda: sorted((tmp_path / "temporary").rglob("*"))
