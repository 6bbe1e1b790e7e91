"""How does a zone's HAProxy know which node is the primary, when only Sentinels do?

A node that calls itself primary may be one that was deposed and does not know yet: where two do, a router that believes them
sends every second write into the void. So a node is the primary only if a Sentinel names it *and* it says so itself: the zone's
own Sentinel, another zone's where that one is silent, and only where all are silent the node alone.

A HAProxy that has just started takes every server for well until it has been checked. Not so here: it is told that all were down
when it was last there, so that nobody is led anywhere before somebody has looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

ENDPOINT = "named"  # the backend whose log tells where writers are led

# Whoever is no longer named must be left before another one is believed, or for a moment two are led to.
_ONE_AT_A_TIME = "inter 200ms fall 1 fastinter 300ms rise 2"

_STATE = "servers.state"
# By which HAProxy knows what a server was: down, by a check that is configured and enabled (its manual, `show servers state`).
_STATE_HEAD = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change \
srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
srv_port srvrecord
"""
_DOWN = "0 {backend} 0 {server} {address} 0 0 1 1 0 1 0 0 6 0 0 0 - {port} -\n"

_HEAD = """\
global
  log stdout format timed local0 notice
  maxconn 4000
  nbthread 1
  server-state-file {folder}/{state}
defaults
  log global
  mode tcp
  load-server-state-from-file global
  timeout connect 1s
  timeout check 1s
  timeout client 1h
  timeout server 1h
  # A retry that waits while its last server is marked down hangs for good (seen with 3.0), so none.
  retries 0
  timeout queue 1s
  default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
"""


def files(
    folder: str,
    databases: Mapping[str, str],
    sentinels: Sequence[str],
    *,
    name: str,
    port: int,
    sentinel_port: int,
    writer: int,
    reader: int,
    user: str,
    password: str,
) -> Mapping[str, str]:
    """HAProxy's configuration: path → text, all in a folder.

    `databases` are node → address, `sentinels` addresses, the zone's own first.
    """
    login = (user, password)
    checks: list[str] = []
    named: list[str] = []
    checked = [(backend, node, address) for backend in ("unnamed", "reader") for node, address in databases.items()]
    for number, sentinel in enumerate(sentinels):
        for node, address in databases.items():
            backend = f"sentinel-{number}-names-{node}"
            checks += [f"backend {backend}", "  option tcp-check"]
            checks += [*_named_by(sentinel, sentinel_port, name, address), *_asked(port, login, "role:master")]
            checks.append(f"  server it {address}:{port} check {_ONE_AT_A_TIME}")
            checked.append((backend, "it", address))
            called, backup = (f"{node}.{number}", " backup") if number else (node, "")
            named.append(f"  server {called} {address}:{port} track {backend}/it{backup}")
    config = "\n".join(
        [
            *_HEAD.format(folder=folder, state=_STATE).splitlines(),
            *("backend sentinels", "  option tcp-check", "  tcp-check send PING\\r\\n", "  tcp-check expect string +PONG"),
            *(f"  server s{number} {address}:{sentinel_port} check" for number, address in enumerate(sentinels)),
            *checks,
            *(f"backend {ENDPOINT}", *named),
            *("backend unnamed", "  option tcp-check", *_asked(port, login, "role:master")),
            *(f"  server {node} {address}:{port} check" for node, address in databases.items()),
            *("frontend writer", f"  bind 0.0.0.0:{writer}"),
            *(f"  use_backend {ENDPOINT} if {{ nbsrv(sentinels) gt 0 }}", "  default_backend unnamed"),
            *("listen reader", f"  bind 0.0.0.0:{reader}", "  balance roundrobin", "  option tcp-check"),
            *_asked(port, login, "role:slave", "master_link_status:up"),
            *(f"  server {node} {address}:{port} check" for node, address in databases.items()),
            # Without any replica, readers are served by the primary.
            *(
                f"  server {node}.0 {address}:{port} track sentinel-0-names-{node}/it backup"
                for node, address in databases.items()
            ),
            "",
        ]
    )
    down = (_DOWN.format(backend=backend, server=server, address=address, port=port) for backend, server, address in checked)
    return {f"{folder}/haproxy.cfg": config, f"{folder}/{_STATE}": _STATE_HEAD + "".join(down)}


def _named_by(sentinel: str, port: int, name: str, address: str) -> Iterator[str]:
    """The check that a Sentinel names this address."""
    yield f"  tcp-check connect addr {sentinel} port {port}"
    # A Sentinel has no QUIT, but closes the connection of whoever speaks no RESP: then what it did not say is not waited for.
    yield f"  tcp-check send SENTINEL\\ GET-MASTER-ADDR-BY-NAME\\ {name}\\r\\n*none\\r\\n"
    yield f"  tcp-check expect string ${len(address)}\\r\\n{address}\\r\\n"


def _asked(port: int, login: tuple[str, str], *said: str) -> Iterator[str]:
    """The check that the server says so of itself."""
    yield f"  tcp-check connect port {port}"
    yield f"  tcp-check send AUTH\\ {login[0]}\\ {login[1]}\\r\\n"
    yield "  tcp-check expect string +OK"
    # QUIT for the same reason.
    yield "  tcp-check send INFO\\ replication\\r\\nQUIT\\r\\n"
    yield from (f"  tcp-check expect string {word}" for word in said)
