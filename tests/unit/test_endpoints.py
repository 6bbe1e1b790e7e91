"""An endpoint says what it leads to, and of which shard."""

from __future__ import annotations

from harness.clients import PROBES, probes_of
from harness.endpoints import role_of, shard_of, with_role
from harness.topologies.elasticache_memcached import ElasticacheMemcached
from harness.topologies.rds_multi_az import RdsMultiAz


def test_a_name_has_a_role_and_perhaps_a_shard() -> None:
    assert [(role_of(name), shard_of(name)) for name in ("writer", "writer:2")] == [("writer", ""), ("writer", "2")]
    assert with_role(["writer:1", "reader", "writer:2"], "writer") == ["writer:1", "writer:2"]


def test_many_writers_are_asked_together_as_often_as_one() -> None:
    kept = probes_of(ElasticacheMemcached(node_count=4))["writer"]["kept"]
    assert (kept["cadence_ms"], kept["unanswered_max"]) == (4 * PROBES["writer"]["kept"]["cadence_ms"], 3)
    assert probes_of(RdsMultiAz()) == PROBES
