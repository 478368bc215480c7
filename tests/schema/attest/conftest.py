from __future__ import annotations

import pytest

from tests.signing import SigningFarm


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> SigningFarm:
    """One for all tests here: signing changes nothing in it."""
    return SigningFarm.create(tmp_path_factory.mktemp("farm"))
