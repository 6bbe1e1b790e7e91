"""What takes Toxiproxy's place where its official image cannot be had?

harness-toxiproxy: the HTTP API and the toxics of Toxiproxy 2.x, on asyncio. Start it with
`python -m harness.toxiproxy_server`; it needs the `client` extra and nothing else of the harness.

Where it differs from the original, on purpose:

- half-close is passed on: a client that has finished sending still gets its answers;
- removing or updating a toxic never waits: what the toxic held flows on at once (Shopify/toxiproxy#558).
  Only `timeout`, which has dropped data, closes the connections that it dropped data of;
- `reset_peer` resets living connections too, not only those opened after it was added;
- a proxy's upstream is dialled concurrently, so that one that hangs does not hold up other clients;
- there is no /metrics, and no field `Logger` in the description of a proxy.
"""

NAME = "harness-toxiproxy"
# The API that is spoken, then the build, as semantic versioning writes it: clients that parse it see 2.12.0.
VERSION = "2.12.0+harness"
