// SPDX-License-Identifier: Apache-2.0
// The quickstart's web site: serves the files of a directory as https://example.com/NAME and tells by a
// meta tag where images are. Prints the path of its certificate authority, then stands until stdin ends.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { newSite } from "../tests/support/site.ts";

const directory = process.argv[2];
if (directory === undefined) throw new Error("usage: quickstart-site.ts DIRECTORY");
await using site = await newSite();
for (const name of readdirSync(directory)) {
  site.serve(`https://example.com/${name}`, { body: readFileSync(join(directory, name)) });
}
site.discovery("example.com", "https://example.com/{name}-{version}-{os}-{arch}.{ext}");
site.discovery("example.com/busybox", "https://example.com/busybox-{version}-{os}-{arch}.{ext}");
console.log(site.caFile);
for await (const _ of Bun.stdin.stream()) {
  // Only the end of stdin matters: it comes when the quickstart ends, however it ends.
}
