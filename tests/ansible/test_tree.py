"""The ansible tree by itself: what its roles say of their variables, and what their templates make of them."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from schema.settings import load
from tests.ansible.playing import TREE, fail, run

YAML: Any = importlib.import_module("yaml")  # Ansible's; its types would be one more package

ROLES = sorted(path.name for path in (TREE / "roles").iterdir() if (path / "tasks").is_dir())
PLAYBOOKS = sorted(path.name for path in (TREE / "playbooks").glob("*.yml"))
needs_the_role_node = pytest.mark.skipif("node" not in ROLES, reason="site.yml and upgrade.yml call the role node")
# Set by who calls the role in the middle of another one, or by an inventory for all roles.
TEMPLATES = {
    "farm.toml": ("master", "farm.toml.j2"),
    "redis.conf": ("redis", "redis.conf.j2"),
    "authority.cnf": ("redis", "authority.cnf.j2"),
    "wheelfarm-master.service": ("unit", "unit.service.j2"),
}
HOSTILE = 'a "quote", a \\ and\na line é'

VARIABLES: dict[str, Any] = {
    "web_ipv6": {"stat": {"exists": True}},
    "ansible_host": "farm.example.org",
    "ansible_python_interpreter": sys.executable,
    "wheelfarm_public_url": "https://wheels.example.org:8443",
    "redis_bind": ["127.0.0.1", "::1", "10.0.0.5"],
    "redis_names": ["farm.example.org", "10.0.0.5", "::1"],
    "master_redis_admin_url": "rediss://admin:secret@redis.example.org:6379/0",
    "master_settings": {
        "farm": {"name": HOSTILE, "platforms": ["debian12-x86_64-cp311"], "contact": None},
        "web": {"port": 8282},
        "repeat": {"share": 0.5},
        "watch": {"demand": True},
    },
    "web_tls": "acme",
    "web_serves": True,
    "unit_name": "wheelfarm-master",
    "unit_description": "Master of the wheel farm",
    "unit_command": "/bin/true master",
    "unit_lines": ["ReadWritePaths=/var/lib/wheelfarm"],
    "unit_start": True,
}


def _yaml(path: Path) -> Any:
    return YAML.safe_load(path.read_text(encoding="utf-8"))


def _options(role: str) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = _yaml(TREE / "roles" / role / "meta/argument_specs.yml")["argument_specs"][
        "main"
    ].get("options", {})
    return options


def _defaults(role: str) -> dict[str, Any]:
    file = TREE / "roles" / role / "defaults/main.yml"
    return (_yaml(file) or {}) if file.is_file() else {}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_is_described_and_its_default_told(role: str) -> None:
    options, defaults = _options(role), _defaults(role)

    assert set(defaults) <= set(options)
    for name, option in options.items():
        assert option["description"], name
        assert option["type"], name
        if "default" in option:
            assert option["default"] == defaults[name], name
        if name in defaults and not _is_computed(defaults[name]):
            assert "default" in option, name
        if name not in defaults and name.startswith(f"{role}_"):
            assert option.get("required"), name


def _is_computed(default: object) -> bool:
    return isinstance(default, str) and "{{" in default


def test_what_a_role_keeps_secret_is_never_shown() -> None:
    for file in (TREE / "roles").glob("*/tasks/*.yml"):
        for task in _yaml(file):
            text = json.dumps(task)
            secret = re.search(r"redis-url|admin-url|database-url|password|web_key|tls_key|grant-master", text)
            handles = {"ansible.builtin.copy", "ansible.builtin.slurp", "ansible.builtin.command"} & set(task)
            if secret and handles and "creates" not in text:
                assert task.get("no_log") or task["name"] in NOT_SECRET, f"{file}: {task['name']}"


# Their text has such a word in it, and no secret.
NOT_SECRET = {
    "Write where Redis is, until the master has a user there",
    "Write where Redis is, until the node has a user there",
    "Write where Redis is",
    "Set where it listens, and how passwords are kept",
}


@needs_the_role_node
@pytest.mark.slow
@pytest.mark.parametrize("inventory", ["one-machine", "farm"])
def test_the_playbooks_fit_the_inventories(inventory: str) -> None:
    listed = run("ansible-inventory", "-i", f"inventories/{inventory}", "--list")
    checked = run("ansible-playbook", "-i", f"inventories/{inventory}", "--syntax-check", *_playbooks())

    groups = json.loads(listed.stdout)
    assert {"redis", "postgres", "master", "web", "nodes", "monitoring"} <= set(groups["all"]["children"]) | set(groups)
    assert checked.returncode == 0, checked.stderr


def _playbooks() -> list[str]:
    return [f"playbooks/{name}" for name in PLAYBOOKS]


@needs_the_role_node
@pytest.mark.slow
def test_ansible_lint_has_nothing_to_say_at_its_strictest() -> None:
    done = run("ansible-lint", "--offline", "--nocolor", "-q")

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each template, rendered once with all roles' own defaults and these variables."""
    folder = tmp_path_factory.mktemp("rendered")
    own = [
        f"{TREE}/roles/{role}/{kind}/main.yml" for role in ("redis", "master", "web") for kind in ("defaults", "vars")
    ]
    (folder / "variables.yml").write_text(json.dumps(VARIABLES))  # after the defaults: the last file counts
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [*own, f"{folder}/variables.yml"],
        "tasks": [
            {
                "name": name,
                "ansible.builtin.template": {
                    "src": f"{TREE}/roles/{role}/templates/{template}",
                    "dest": f"{folder}/{name}",
                    "mode": "0600",
                },
            }
            for name, (role, template) in TEMPLATES.items()
        ]
        + [
            {
                "name": "The options of wheelfarm web nginx-config",
                "ansible.builtin.copy": {
                    "content": "{{ web_options | to_json }}",
                    "dest": f"{folder}/nginx-options.json",
                    "mode": "0600",
                },
            }
        ],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    done = run("ansible-playbook", "-i", "localhost,", "-c", "local", folder / "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_farm_toml_says_what_the_inventory_says(rendered: Path) -> None:
    found = tomllib.loads((rendered / "farm.toml").read_text())

    assert found["farm"] == {
        "home": "/var/lib/wheelfarm",
        "name": HOSTILE,
        "platforms": ["debian12-x86_64-cp311"],
    }
    assert found["web"] == {"public_url": "https://wheels.example.org:8443", "port": 8282}
    assert (found["repeat"], found["watch"]) == ({"share": 0.5}, {"demand": True})
    assert set(found["redis"]) == {"url_file", "admin_url_file"}  # its authority is one that the system trusts
    assert "database" not in found


@pytest.mark.slow
def test_the_farm_accepts_that_file(rendered: Path, tmp_path: Path) -> None:
    assert load(_settings(rendered, tmp_path)).farm.name == HOSTILE


def _settings(rendered: Path, folder: Path) -> Path:
    """That file, with its secrets where this test may write."""
    (folder / "redis-url").write_text("rediss://redis.example.org:6379/0")
    file = folder / "farm.toml"
    file.write_text((rendered / "farm.toml").read_text().replace("/etc/wheelfarm/", f"{folder}/"))
    return file


@pytest.mark.slow
def test_the_unit_is_one_that_systemd_understands(rendered: Path) -> None:
    file = rendered / "wheelfarm-master.service"

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False
    )

    about = [line for line in verified.stderr.splitlines() if "wheelfarm" in line]
    assert (verified.returncode, about) == (0, []), verified.stderr


@pytest.mark.slow
def test_redis_speaks_nothing_but_tls_and_drops_nothing(rendered: Path) -> None:
    lines = (rendered / "redis.conf").read_text().splitlines()

    assert {"port 0", "tls-port 6379", "bind 127.0.0.1 ::1 10.0.0.5", "maxmemory-policy noeviction"} <= set(lines)
    names = (rendered / "authority.cnf").read_text()
    assert "IP.1 = 10.0.0.5\nIP.2 = ::1\nDNS.3 = farm.example.org\n" in names


@pytest.mark.slow
def test_nginx_serves_the_public_address_and_leads_there_from_http(rendered: Path, tmp_path: Path) -> None:
    file = _settings(rendered, tmp_path)
    options = json.loads((rendered / "nginx-options.json").read_text())

    text = run(sys.executable, "-m", "web", "--settings", file, "nginx-config", *options).stdout

    assert "    listen 8443 ssl http2;\n    listen [::]:8443 ssl http2;\n" in text
    assert "    listen 80;\n    listen [::]:80;\n" in text
    assert 'return 308 "https://wheels.example.org:8443$request_uri";' in text
    assert 'ssl_certificate "/etc/letsencrypt/live/wheels.example.org/fullchain.pem";' in text
    assert 'location /.well-known/acme-challenge/ { root "/var/lib/wheelfarm-acme"; }' in text
    assert "server 127.0.0.1:8282;" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "groups", "why"),
    [
        ({}, {"web", "master"}, "wheelfarm_public_url"),
        ({"wheelfarm_public_url": "http://wheels.example.org"}, {"web"}, "must be in the group master"),
        ({"wheelfarm_public_url": "https://wheels.example.org"}, {"web", "master"}, "web_tls must be given or acme"),
        ({"wheelfarm_public_url": "http://wheels.example.org/a"}, {"web", "master"}, "without a path"),
        ({"wheelfarm_public_url": "https://a.example", "web_tls": "own"}, {"web", "master"}, "must be one of"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused_before_anything_is_done(
    variables: dict[str, str], groups: set[str], why: str, tmp_path: Path
) -> None:
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    children: dict[str, Any] = {group: {"hosts": {"here": {}}} for group in groups}
    inventory, play = tmp_path / "hosts.json", tmp_path / "play.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"here": here}, "children": children, "vars": variables}}))
    play.write_text(json.dumps([{"hosts": "web", "gather_facts": False, "roles": ["web"]}]))

    assert why in fail(inventory, play)
