// SPDX-License-Identifier: Apache-2.0
// Run with plain Node after `make dist/lib/appc.js`: the bundle of appc imports there, reads, writes and refuses.

import assert from "node:assert/strict";
import * as appc from "../../dist/lib/appc.js";

const text =
  '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/app","labels":[{"name":"os","value":"linux"}],"app":{"exec":["/bin/app","<x>"],"user":"0","group":"0"}}';
const manifest = appc.parseImageManifest(text);
assert.equal(manifest.name, "example.com/app");
assert.deepEqual(manifest.app?.mountPoints, []);
assert.equal(appc.serializeImageManifest(manifest), text.replace("<x>", "\\u003cx\\u003e"));

assert.throws(() => appc.parseImageManifest('{"acKind": "ImageManifest",\n  "name" 1}'), {
  name: "ManifestError",
  code: "MANIFEST_SYNTAX",
  details: { line: 2, column: 10 },
});
assert.throws(() => appc.parsePodManifest("{}"), {
  message: 'missing or bad ACKind (must be "PodManifest")',
});

const { name, labels } = appc.parseAppString("example.com/app:1.0,arch=amd64");
assert.equal(appc.formatAppString({ name, labels }), "example.com/app:1.0,arch=amd64");
assert.equal(appc.parseQuantity("1.5Gi").toString(), "1536Mi");
assert.equal(appc.parseExposedPort("www:[::1]:80").hostIP, "::1");
assert.deepEqual(appc.hostLabels({ platform: process.platform, arch: process.arch })[0].name, "os");
console.log("appc runs under Node", process.version);
