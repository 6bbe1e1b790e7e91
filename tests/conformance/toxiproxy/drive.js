// Does toxiproxy-node-client, as it is, get from a server all that it asks for?
//
//     node drive.js URL UPSTREAM      (NODE_PATH: where the client is installed)
"use strict";

const assert = require("node:assert/strict");
const { Toxiproxy } = require("toxiproxy-node-client");

const TOXICS = {
  latency: { latency: 100, jitter: 20 },
  bandwidth: { rate: 100 },
  slow_close: { delay: 200 },
  timeout: { timeout: 300 },
  reset_peer: { timeout: 400 },
  slicer: { average_size: 100, size_variation: 20, delay: 1000 },
  limit_data: { bytes: 500 },
};

async function refused(call, status) {
  await assert.rejects(call, (error) => error.message.includes(`status code ${status}`));
}

async function drive(url, upstream) {
  const server = new Toxiproxy(url);
  assert.match(await server.getVersion(), /"version": "2\./);

  const asked = { name: "db", listen: "127.0.0.1:0", upstream };
  const proxy = await server.createProxy(asked);
  assert.deepEqual([proxy.name, proxy.upstream, proxy.enabled], ["db", upstream, true]);
  await refused(server.createProxy(asked), 409);
  assert.equal((await server.get("db")).listen, proxy.listen);
  await refused(server.get("none"), 404);

  for (const stream of ["upstream", "downstream"]) {
    for (const [type, attributes] of Object.entries(TOXICS)) {
      const name = `${type} ${stream}`;
      const toxic = await proxy.addToxic({ name, type, stream, toxicity: 0.5, attributes });
      assert.deepEqual(toxic.toJson(), { name, type, stream, toxicity: 0.5, attributes });
      const read = await proxy.getToxic(name);
      assert.deepEqual(read.toJson(), toxic.toJson());
      const [first] = Object.keys(attributes);
      const changed = await read.update({ toxicity: 1, attributes: { ...attributes, [first]: 7 } });
      assert.deepEqual(changed.toJson(), { name, type, stream, toxicity: 1, attributes: { ...attributes, [first]: 7 } });
      await changed.remove();
      await refused(proxy.getToxic(name), 404);
    }
  }
  await refused(proxy.addToxic({ name: "", type: "slow", attributes: {} }), 400);

  const off = await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  assert.equal(off.enabled, false);
  await off.addToxic({ name: "", type: "latency", attributes: TOXICS.latency });
  await server.reset();
  const back = await server.get("db");
  assert.deepEqual([back.listen, back.enabled], [proxy.listen, true]);
  await refused(back.getToxic("latency_downstream"), 404);

  const populated = await server.populate([asked, { ...asked, name: "other" }].map((one) => ({ ...one, listen: "127.0.0.1:0" })));
  assert.deepEqual(Object.keys(populated).sort(), ["db", "other"]);
  const all = await server.getAll();
  assert.deepEqual(Object.keys(all).sort(), ["db", "other"]);
  for (const each of Object.values(all)) {
    await each.remove();
  }
  assert.deepEqual(await server.getAll(), {});
}

drive(process.argv[2], process.argv[3]).then(
  () => console.log("every call was answered as the client expects"),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
