// SPDX-License-Identifier: Apache-2.0
// Fetch, verify and render of a large uncompressed image, beside what any program must at least do with
// it: hash it (openssl) and unpack it (tar). Each sample gets a fresh ext4 file system: on one from which
// much was just deleted, creating files is ten times slower.
import { createCipheriv } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onFreshFileSystem, secondsRow } from "./fresh.ts";
import type { Report } from "./report.ts";
import { must, type Sample } from "./sample.ts";
import { manifest, type World } from "./world.ts";

interface Load {
  readonly title: string;
  readonly files: number;
  readonly bytes: number;
  readonly rounds: number;
}

const LOADS: readonly Load[] = [
  { title: "200 MB in 9,700 files", files: 9700, bytes: 200e6, rounds: 5 },
  { title: "1 GiB in one file", files: 1, bytes: 2 ** 30, rounds: 3 },
];

/** An image of so many files; its content is noise from a fixed seed. */
function makeImage(world: World, load: Load, index: number): string {
  const layout = world.dir.join(`load-${index}`);
  const rootfs = join(layout, "rootfs");
  const size = Math.floor(load.bytes / load.files);
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)).update(
    Buffer.alloc(2 ** 22),
  );
  for (let file = 0; file < load.files; file++) {
    const dir = join(rootfs, `d${Math.floor(file / 100)}`);
    mkdirSync(dir, { recursive: true });
    if (load.files === 1) {
      const sink = Bun.file(join(dir, "large")).writer();
      for (let done = 0; done < size; done += noise.length) sink.write(noise);
      sink.end();
    } else writeFileSync(join(dir, `f${file}`), noise.subarray(file, file + size));
  }
  writeFileSync(join(layout, "manifest"), manifest(`bench.example/load-${index}`, "/none"));
  const aci = world.dir.join(`load-${index}.aci`);
  must(["tar", "--owner=0", "--group=0", "-cf", aci, "-C", layout, "manifest", "rootfs"]);
  must(["rm", "-rf", layout]);
  return aci;
}

export function measureFetch(world: World): Report[] {
  const gnupg = world.dir.join("gnupg");
  mkdirSync(gnupg, { mode: 0o700 });
  const gpg = ["gpg", "--homedir", gnupg, "--batch", "--quiet"];
  must([
    ...gpg,
    "--passphrase",
    "",
    "--quick-generate-key",
    "bench <bench@bench.example>",
    "ed25519",
    "sign",
    "never",
  ]);
  const key = world.dir.write("key.asc", must([...gpg, "--armor", "--export"]));
  must(world.rkt("trust", "--prefix=bench.example", "--skip-fingerprint-review", key));
  const reports = LOADS.map((load, index) => {
    const aci = makeImage(world, load, index);
    must([...gpg, "--armor", "--detach-sign", "--output", `${aci}.asc`, aci]);
    const size = load.bytes * 3 + 512e6;
    const commands: Readonly<Record<string, (mount: string) => readonly string[]>> = {
      "rkt fetch": (mount) => world.rktAt(join(mount, "data"), "fetch", aci),
      "openssl sha512, then tar -x": (mount) => [
        "sh",
        "-c",
        'openssl dgst -sha512 "$1" && tar -xf "$1" -C "$2"',
        "sh",
        aci,
        mount,
      ],
      "the same, then sync": (mount) => [
        "sh",
        "-c",
        'openssl dgst -sha512 "$1" && tar -xf "$1" -C "$2" && sync -f "$2"',
        "sh",
        aci,
        mount,
      ],
    };
    const samples = new Map<string, Sample[]>(Object.keys(commands).map((name) => [name, []]));
    for (let round = 0; round < load.rounds; round++) {
      for (const [name, command] of Object.entries(commands)) {
        samples.get(name)?.push(onFreshFileSystem(world, size, command));
      }
    }
    must(["rm", "-f", aci, `${aci}.asc`]);
    const rows = [...samples].map(([name, list]) => secondsRow(name, list));
    const ratio = (rows[0]?.value ?? Number.NaN) / (rows[1]?.value ?? Number.NaN);
    return {
      title: `Fetch, verify and render of an uncompressed image: ${load.title}`,
      rows,
      reference: "rkt fetch",
      targets: [
        { text: `within 2 x openssl sha512 + tar -x: ${ratio.toFixed(2)}`, met: ratio <= 2 },
      ],
    };
  });
  must(["gpgconf", "--homedir", gnupg, "--kill", "all"]);
  return reports;
}
