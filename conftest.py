"""What do all suites below this folder share?"""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]  # for the plugin's own tests; pytest does not load it by itself
TESTS = Path(__file__).parent / "tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a suite below stand here, since pytest asks no deeper conftest for them."""
    parser.addoption(
        "--toxiproxy",
        metavar="URL|PATH",
        help="the Toxiproxy-compatible server that tests/conformance/toxiproxy is about, by its API's URL or as a binary "
        "to start; by default the harness's own",
    )


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test with its folder below `tests`: unit, plugin, conformance or systems."""
    for item in items:
        if item.path.is_relative_to(TESTS):
            item.add_marker(item.path.relative_to(TESTS).parts[0])
