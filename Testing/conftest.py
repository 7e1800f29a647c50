"""Options and fixtures that every test shares."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference-data",
        default=str(Path(__file__).resolve().parents[1] / ".." / "shared"),
        help="folder with golden files and real cases; tests that need it are skipped where it is missing",
    )


@pytest.fixture(scope="session")
def reference_data(pytestconfig: pytest.Config) -> Path:
    """Folder of golden files (``golden/``) and real cases (``data/``)."""
    folder = Path(pytestconfig.getoption("--reference-data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; name it with --reference-data FOLDER")
    return folder
