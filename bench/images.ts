// SPDX-License-Identifier: Apache-2.0
// Docker and OCI images: fetch, verify and unpack beside podman, skopeo and umoci, and beside what any program must at
// least do: decompress, hash and unpack, each a process of its own. Then the start of an image of many layers, and
// the fetch of an image most of whose layers are there.
import { createHash } from "node:crypto";
import {
  copyFileSync,
  createReadStream,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { onFreshFileSystem, peakOf, secondsRow } from "./fresh.ts";
import type { Report, Row, Target } from "./report.ts";
import { interleave, median, must, type Sample } from "./sample.ts";
import type { World } from "./world.ts";

interface Load {
  readonly title: string;
  readonly files: number;
  readonly bytes: number;
  readonly rounds: number;
}

const LOADS: readonly Load[] = [
  { title: "190 MB in 9,700 files", files: 9700, bytes: 190e6, rounds: 3 },
  { title: "1 GiB in one file", files: 1, bytes: 2 ** 30, rounds: 2 },
];

const WITHIN_FLOOR = 1.3;
const PEAK_MB = 120;
const TEXT = 16 << 20;

/** 16 MiB that gzip makes 2.5 times smaller, as it does programs; always the same. */
function tokens(): Buffer {
  let state = 12345;
  const random = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const words = Array.from({ length: 2048 }, () =>
    Buffer.from(
      Array.from({ length: 4 + Math.floor(random() * 20) }, () => Math.floor(random() * 256)),
    ),
  );
  const text = Buffer.alloc(TEXT);
  for (let at = 0; at < TEXT; ) at += words[Math.floor(2048 * random() ** 3)]?.copy(text, at) ?? 1;
  return text;
}

/** A tar of one layer. */
function makeTar(directory: string, load: Load, text: Buffer): string {
  const tree = join(directory, "tree");
  const size = Math.floor(load.bytes / load.files);
  for (let file = 0; file < load.files; file++) {
    const dir = join(tree, `d${Math.floor(file / 100)}`);
    mkdirSync(dir, { recursive: true });
    if (load.files === 1) {
      const sink = Bun.file(join(dir, "large")).writer();
      for (let done = 0; done < size; done += text.length) sink.write(text);
      sink.end();
    } else {
      const from = (file * 104_729) % (TEXT - size);
      writeFileSync(join(dir, `f${file}`), text.subarray(from, from + size));
    }
  }
  const tar = join(directory, "layer.tar");
  must(["tar", "--owner=0", "--group=0", "-cf", tar, "-C", tree, "."]);
  must(["rm", "-rf", tree]);
  return tar;
}

interface Blob {
  readonly digest: string;
  readonly size: number;
}

async function hashFile(path: string): Promise<Blob> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return { digest: `sha256:${hash.digest("hex")}`, size: statSync(path).size };
}

interface MadeLayer extends Blob {
  readonly diffID: string;
  readonly mediaType: string;
}

/** An image layout with one image, tagged `bench`; the layers' files are moved in. */
function writeLayout(
  layout: string,
  layers: readonly (MadeLayer & { path: string })[],
  exec: string,
): void {
  const blobs = join(layout, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, value: object) => {
    const text = JSON.stringify(value);
    const hex = createHash("sha256").update(text).digest("hex");
    writeFileSync(join(blobs, hex), text);
    return { mediaType, digest: `sha256:${hex}`, size: text.length };
  };
  for (const { path, digest } of layers) linkSync(path, join(blobs, digest.slice(7)));
  const config = put("application/vnd.oci.image.config.v1+json", {
    os: "linux",
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    config: { Entrypoint: [exec] },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffID }) => diffID) },
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = put(mediaType, {
    schemaVersion: 2,
    mediaType,
    config,
    layers: layers.map((layer) => ({
      mediaType: layer.mediaType,
      digest: layer.digest,
      size: layer.size,
    })),
  });
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { "org.opencontainers.image.ref.name": "bench" };
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
}

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

type Command = (mount: string) => readonly string[];

const floor = (unpack: string): Command => {
  const script = `set -o pipefail; ${unpack} | tee >(openssl sha256 >/dev/null) | tar -xC "$1"`;
  return (mount) => ["bash", "-c", script, "bash", mount];
};

function podman(mount: string): readonly string[] {
  return [
    "podman",
    `--root=${mount}/root`,
    `--runroot=${mount}/run`,
    "--storage-driver=overlay",
    "--cgroup-manager=cgroupfs",
    "--events-backend=file",
  ];
}

const skopeo = (source: string, target: string): readonly string[] => [
  "skopeo",
  "--insecure-policy",
  "copy",
  "--quiet",
  source,
  target,
];

/** The contenders of one load, by the form that they take the layer in. */
async function makeContenders(
  world: World,
  load: Load,
): Promise<Readonly<Record<string, Readonly<Record<string, Command>>>>> {
  const dir = world.dir.join("images");
  mkdirSync(dir);
  const tar = makeTar(dir, load, tokens());
  const { digest: diffID } = await hashFile(tar);
  const rkt =
    (image: string): Command =>
    (mount) =>
      world.rktAt(join(mount, "data"), "fetch", "--insecure-options=image", image);
  const layoutOf = async (compression: "gzip" | "zstd", program: string): Promise<string> => {
    const path = `${tar}.${compression}`;
    must(["sh", "-c", `${program} < "$1" > "$2"`, "sh", tar, path]);
    const layout = join(dir, compression);
    const mediaType = `${LAYER_TYPE}+${compression}`;
    writeLayout(layout, [{ path, diffID, mediaType, ...(await hashFile(path)) }], "/none");
    return layout;
  };
  const gzip = await layoutOf("gzip", "gzip");
  const zstd = await layoutOf("zstd", "zstd -q");
  const archive = join(dir, "oci.tar");
  must(["tar", "-cf", archive, "-C", gzip, "."]);
  const saved = join(dir, "saved.tar");
  must(skopeo(`oci:${gzip}:bench`, `docker-archive:${saved}:bench.example/saved:bench`));
  return {
    gzip: {
      "rkt fetch oci:": rkt(`oci:${gzip}:bench`),
      "floor: igzip | openssl sha256 | tar": floor(`igzip -dc "${tar}.gzip"`),
      "rkt fetch oci-archive:": rkt(`oci-archive:${archive}:bench`),
      "podman load": (mount) => [...podman(mount), "load", "--quiet", "--input", archive],
      "skopeo copy to containers-storage": (mount) =>
        skopeo(
          `oci:${gzip}:bench`,
          `containers-storage:[overlay@${mount}/root+${mount}/run]bench.example/bench`,
        ),
      "umoci unpack": (mount) => ["umoci", "unpack", "--image", `${gzip}:bench`, `${mount}/bundle`],
    },
    zstd: {
      "rkt fetch oci:": rkt(`oci:${zstd}:bench`),
      "floor: zstd | openssl sha256 | tar": floor(`zstd -dc "${tar}.zstd"`),
      "skopeo copy to containers-storage": (mount) =>
        skopeo(
          `oci:${zstd}:bench`,
          `containers-storage:[overlay@${mount}/root+${mount}/run]bench.example/bench`,
        ),
    },
    "docker save, not compressed": {
      "rkt fetch docker-archive:": rkt(`docker-archive:${saved}`),
      "floor: openssl sha256 | tar": floor(`cat "${tar}"`),
      "podman load": (mount) => [...podman(mount), "load", "--quiet", "--input", saved],
    },
  };
}

async function measureLoad(world: World, load: Load): Promise<Report[]> {
  const forms = await makeContenders(world, load);
  const size = load.bytes * 3 + 512e6;
  const reports = Object.entries(forms).map(([form, commands]) => {
    const samples = new Map<string, Sample[]>(Object.keys(commands).map((name) => [name, []]));
    for (let round = 0; round < load.rounds; round++) {
      for (const [name, command] of Object.entries(commands)) {
        samples.get(name)?.push(onFreshFileSystem(world, size, command));
      }
    }
    const [ours = [], least = []] = [...samples.values()];
    const ratio = seconds(ours) / seconds(least);
    const peak = peakOf(ours) / 1e6;
    const [name = "", command] = Object.entries(commands)[0] ?? [];
    if (command === undefined) throw new Error("no contenders");
    const all = memoryOfAll(world, size, command);
    return {
      title: `Fetch, verify and unpack of an image of one layer: ${load.title}, ${form}`,
      rows: [...samples].map(([name, list]) => secondsRow(name, list)),
      reference: [...samples.keys()][0] ?? "",
      targets: [
        {
          text: `within ${WITHIN_FLOOR} x floor: ${ratio.toFixed(2)}`,
          met: ratio <= WITHIN_FLOOR,
        },
        {
          text: `peak memory of a process ≤ ${PEAK_MB} MB: ${peak.toFixed(0)} MB; of all of ${name} at once ${(all / 1e6).toFixed(0)} MB (PSS)`,
          met: peak <= PEAK_MB,
        },
      ],
    };
  });
  must(["rm", "-rf", world.dir.join("images")]);
  return reports;
}

/** What all processes of a command use at most at once, looked at every 20 ms: PSS, so that shared pages count once. */
function memoryOfAll(world: World, size: number, command: Command): number {
  const watch = `
    out=$1; shift
    "$@" >/dev/null & pid=$!
    while [ -d /proc/$pid ]; do
      sum=0
      for one in $(pgrep -g 0 -x 'rkt|stage1|rkt-confined|memfd.*'); do
        kb=$(awk '/^Pss:/ { print $2 }' /proc/$one/smaps_rollup 2>/dev/null)
        sum=$((sum + \${kb:-0}))
      done
      echo $sum
      sleep 0.02
    done > "$out"
    wait $pid`;
  const out = world.dir.join("pss");
  onFreshFileSystem(world, size, (mount) => [
    "setsid",
    "--wait",
    "bash",
    "-c",
    watch,
    "bash",
    out,
    ...command(mount),
  ]);
  return Math.max(...readFileSync(out, "utf8").trim().split("\n").map(Number)) * 1024;
}

const seconds = (samples: readonly Sample[]): number =>
  median(samples.map((each) => each.milliseconds / 1000));

/** Layers of a directory with `bytes` of its own each; the first also has the program. */
async function manyLayers(
  world: World,
  name: string,
  counts: { readonly from: number; readonly to: number; readonly bytes: number },
): Promise<readonly (MadeLayer & { path: string })[]> {
  const text = tokens();
  const layers: (MadeLayer & { path: string })[] = [];
  for (let i = counts.from; i < counts.to; i++) {
    const tree = world.dir.join(`${name}-tree`);
    mkdirSync(join(tree, "bin"), { recursive: true });
    if (i === 0) copyFileSync("build/bench/payload", join(tree, "bin/true"));
    for (let file = 0; file < 20; file++) {
      const from = (i * 15_485_863 + file * 104_729) % (TEXT - counts.bytes);
      writeFileSync(
        join(tree, `bin/f${i}-${file}`),
        text.subarray(from, from + Math.floor(counts.bytes / 20)),
      );
    }
    const tar = world.dir.join(`${name}-${i}.tar`);
    must(["tar", "--owner=0", "--group=0", "--sort=name", "-cf", tar, "-C", tree, "."]);
    const { digest: diffID } = await hashFile(tar);
    must(["gzip", tar]);
    const path = `${tar}.gz`;
    layers.push({ path, diffID, mediaType: `${LAYER_TYPE}+gzip`, ...(await hashFile(path)) });
    must(["rm", "-rf", tree]);
  }
  return layers;
}

async function measureManyLayers(world: World): Promise<Report> {
  const layers = await manyLayers(world, "many", { from: 0, to: 40, bytes: 20_000 });
  writeLayout(world.dir.join("many"), layers, "/bin/true");
  writeLayout(world.dir.join("one"), layers.slice(0, 1), "/bin/true");
  const fetched = (name: string): string =>
    must(
      world.rkt("fetch", "--full", "--insecure-options=image", `oci:${world.dir.join(name)}`),
    ).trim();
  const contenders = ["many", "one"].map((name) => {
    const id = fetched(name);
    return {
      name: name === "many" ? "rkt run, 40 layers" : "rkt run, one layer",
      command: () => world.rkt("run", "--net=none", "--insecure-options=image", id),
      after: () => void must(world.rkt("gc", "--grace-period=0s")),
    };
  });
  const samples = interleave(contenders, 20, 100);
  const rows = [...samples].map(([name, list]): Row => {
    const values = list.map((each) => each.milliseconds);
    return {
      name,
      value: median(values),
      unit: "ms",
      range: [Math.min(...values), Math.max(...values)],
    };
  });
  const more = (rows[0]?.value ?? Number.NaN) - (rows[1]?.value ?? Number.NaN);
  return {
    title: "Start of an image of 40 layers (warm)",
    rows,
    reference: "rkt run, 40 layers",
    targets: [{ text: `at most 2 ms more than one layer: ${more.toFixed(2)} ms`, met: more <= 2 }],
  };
}

async function measureShared(world: World): Promise<Report> {
  const bytes = 10e6;
  const layers = await manyLayers(world, "shared", { from: 0, to: 11, bytes });
  const layout = (name: string, chosen: typeof layers): string => {
    writeLayout(world.dir.join(name), chosen, "/bin/true");
    return `oci:${world.dir.join(name)}:bench`;
  };
  const first = layout("first", layers.slice(0, 10));
  const second = layout("second", [...layers.slice(0, 9), ...layers.slice(10)]);
  const fetch =
    (image: string): Command =>
    (mount) =>
      world.rktAt(join(mount, "data"), "fetch", "--insecure-options=image", image);
  const copy =
    (image: string): Command =>
    (mount) =>
      skopeo(
        image,
        `containers-storage:[overlay@${mount}/root+${mount}/run]bench.example/${image === first ? "first" : "second"}`,
      );
  const contenders: Readonly<Record<string, readonly [Command, Command | undefined]>> = {
    "rkt fetch, 9 of 10 layers there": [fetch(second), fetch(first)],
    "rkt fetch, none there": [fetch(second), undefined],
    "skopeo copy, 9 of 10 layers there": [copy(second), copy(first)],
    "skopeo copy, none there": [copy(second), undefined],
  };
  const samples = new Map<string, Sample[]>(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < 3; round++) {
    for (const [name, [command, before]] of Object.entries(contenders)) {
      const one = onFreshFileSystem(world, 1e9, command, (mount) => {
        if (before !== undefined) must(before(mount));
      });
      samples.get(name)?.push(one);
    }
  }
  const rows = [...samples].map(([name, list]) => secondsRow(name, list));
  const ratio = (rows[0]?.value ?? Number.NaN) / (rows[1]?.value ?? Number.NaN);
  const target: Target = {
    text: `at most a quarter of a first fetch: ${ratio.toFixed(2)}`,
    met: ratio <= 0.25,
  };
  return {
    title: "Fetch of an image of 10 layers of 10 MB that shares 9 with one that is there",
    rows,
    reference: rows[0]?.name ?? "",
    targets: [target],
  };
}

export async function measureImages(world: World): Promise<Report[]> {
  const reports: Report[] = [];
  for (const load of LOADS) reports.push(...(await measureLoad(world, load)));
  reports.push(await measureShared(world), await measureManyLayers(world));
  return reports;
}
