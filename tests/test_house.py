"""The house itself: its package names are its own."""

from __future__ import annotations

from importlib.metadata import distribution, packages_distributions

import pytest


@pytest.mark.parametrize("package", ["schema", "master", "builder", "web"])
def test_no_other_distribution_in_the_environment_owns_a_package_of_ours(package: str) -> None:
    others = [name for name in packages_distributions().get(package, []) if name != "wheelfarm"]

    assert others == []


def test_a_node_installs_no_database_and_no_web_framework() -> None:
    required = distribution("wheelfarm").requires or []
    ground = " ".join(item for item in required if "extra ==" not in item or "extra == 'builder'" in item).lower()

    assert not any(name in ground for name in ("sqlalchemy", "alembic", "flask", "granian", "psycopg"))
