// SPDX-License-Identifier: Apache-2.0
// Images made from a description.
import { readFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type TarItem, tarBytes } from "./tar.ts";

export type Compression = "none" | "gzip" | "bzip2" | "xz" | "zstd";

export interface AciDescription {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly exec?: readonly string[];
  /** Fields of the manifest's app section besides exec, user and group; null leaves the section out. */
  readonly app?: Readonly<Record<string, unknown>> | null;
  /** Fields of the manifest itself. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Replaces the manifest's text altogether. */
  readonly manifestText?: string;
  /** Entries below rootfs/, by their path in the image. */
  readonly files?: readonly TarItem[];
  /** Entries as they are, anywhere in the archive, after the others. */
  readonly raw?: readonly TarItem[];
  readonly compression?: Compression;
}

/** The appc labels of this machine. */
export const HOST_LABELS = [
  { name: "os", value: "linux" },
  { name: "arch", value: process.arch === "arm64" ? "aarch64" : "amd64" },
] as const;

export function manifestOf(image: AciDescription): string {
  if (image.manifestText !== undefined) return image.manifestText;
  const labels = {
    ...Object.fromEntries(HOST_LABELS.map((l) => [l.name, l.value])),
    ...image.labels,
  };
  return JSON.stringify({
    acKind: "ImageManifest",
    acVersion: "0.8.11",
    name: image.name ?? "example.com/test",
    labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
    ...(image.app === null
      ? {}
      : { app: { exec: image.exec ?? ["/bin/true"], user: "0", group: "0", ...image.app } }),
    ...image.manifest,
  });
}

/** The bytes of the ACI. */
export function buildAci(image: AciDescription = {}): Buffer {
  const tar = tarBytes([
    { name: "manifest", content: manifestOf(image) },
    { name: "rootfs", type: "dir" },
    ...(image.files ?? []).map((item) => ({ ...item, name: `rootfs/${item.name}` })),
    ...(image.raw ?? []),
  ]);
  return compress(tar, image.compression ?? "none");
}

export function compress(data: Buffer, compression: Compression): Buffer {
  switch (compression) {
    case "none":
      return data;
    case "gzip":
      return gzipSync(data);
    case "zstd":
      return zstdCompressSync(data) as Buffer;
    default: {
      const run = Bun.spawnSync([compression, "-c"], { stdin: data, stdout: "pipe" });
      if (run.exitCode !== 0) throw new Error(`${compression}: ${run.exitCode}`);
      return run.stdout as Buffer;
    }
  }
}

const APPLETS = [
  "sh",
  "true",
  "false",
  "id",
  "env",
  "cat",
  "ls",
  "sleep",
  "echo",
  "mount",
  "ps",
  "stat",
];

/** An image around Debian's static busybox, which answers for every applet named in the shell. */
export function busyboxAci(image: AciDescription = {}): Buffer {
  return buildAci({
    name: "example.com/busybox",
    exec: ["/bin/sh"],
    ...image,
    files: [
      { name: "bin", type: "dir" },
      { name: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 },
      ...APPLETS.map((name) => ({ name: `bin/${name}`, type: "symlink", link: "busybox" })),
      { name: "etc", type: "dir" },
      { name: "etc/passwd", content: "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n" },
      { name: "etc/group", content: "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n" },
      { name: "tmp", type: "dir", mode: 0o1777 },
      ...(image.files ?? []),
    ],
  });
}
