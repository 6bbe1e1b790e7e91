"""Who may log in to a PostgreSQL of ours, and what must be there before the first client comes?"""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Mapping
from typing import Any

from harness.errors import ClusterError
from harness.protocols import Node

PROTOCOL = "postgresql"
PORT = 5432
DATABASE = "harness"
# PostgreSQL's SSLRequest (protocol 3.0, "SSLRequest"): answered with one byte, S or N, before any login.
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def passwords(*more: str) -> dict[str, str]:
    """Made anew for every cluster: those of `superuser`, `application`, `probe`, and of whoever else is named."""
    return {user: secrets.token_urlsafe(18) for user in ("superuser", *more, "application", "probe")}


def login(of: Mapping[str, str], host: str, port: int) -> dict[str, Any]:
    """What the application's sessions log in with."""
    return {
        "protocol": PROTOCOL,
        "host": host,
        "port": port,
        "dbname": DATABASE,
        "user": "application",
        "password": of["application"],
        "options": "-c search_path=workload,public",  # away from what others keep in a database that lives on
    }


def probing(of: Mapping[str, str]) -> dict[str, Any]:
    """What probes need to log in."""
    return {
        "protocol": PROTOCOL,
        "probe": {"user": "probe", "password": of["probe"], "database": DATABASE},
        "direct_port": PORT,
    }


def dsn(of: Mapping[str, str], host: str, port: int) -> str:
    return f"postgresql://application:{of['application']}@{host}:{port}/{DATABASE}"


def create(node: Node, of: Mapping[str, str]) -> None:
    """Makes roles, database and the probes' table on a primary. Raises ClusterError with what psql said."""
    # One iteration for the probe's role: its fresh connections must cost the server little (the password is random).
    script = textwrap.dedent(f"""
        CREATE ROLE application LOGIN PASSWORD '{of["application"]}';
        SET scram_iterations = 1;
        CREATE ROLE probe LOGIN PASSWORD '{of["probe"]}';
        RESET scram_iterations;
        ALTER ROLE probe SET log_min_messages = 'fatal';
        GRANT pg_monitor TO probe;
        CREATE DATABASE {DATABASE} OWNER application;
        \\connect {DATABASE}
        CREATE TABLE probe (value bigint NOT NULL);
        ALTER TABLE probe OWNER TO probe;
        GRANT SELECT ON probe TO application;
    """)
    _carry_out(node, of, script, "roles could not be created")


def let_probes_commit_asynchronously(node: Node, of: Mapping[str, str]) -> None:
    """Probes' commits wait for the disk no more, from their next session on. Raises ClusterError with what psql said."""
    _carry_out(node, of, "ALTER ROLE probe SET synchronous_commit = off;", "the probes' role could not be changed")


def _carry_out(node: Node, of: Mapping[str, str], script: str, problem: str) -> None:
    node.put("/run/harness/roles.sql", script)
    environment = {"PGHOST": node.spec.address, "PGUSER": "postgres", "PGPASSWORD": of["superuser"]}
    psql = ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "/run/harness/roles.sql")
    ran = node.run(*psql, environment=environment)
    if ran.status:
        raise ClusterError(f"{node.spec.name}: {problem}: {ran.out.strip()}")
