"""What takes Toxiproxy's place where its official image cannot be had?

harness-toxiproxy: the HTTP API and the toxics of Toxiproxy 2.12, on asyncio. Start it with
`python -m harness.toxiproxy_server`; it needs the `client` extra and nothing else of the harness.
tests/conformance/toxiproxy holds it to what the original does; docs/decisions/0013-a-toxiproxy-of-our-own.md says
where it differs, on purpose, and why.
"""

NAME = "harness-toxiproxy"
# The API that is spoken, then the build, as semantic versioning writes it: clients that parse it see 2.12.0.
VERSION = "2.12.0+harness"
