// SPDX-License-Identifier: Apache-2.0
// For tests: a store in a temporary directory and images made on the spot.
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TarEntry, TarKind } from "../tar/entry.ts";
import { TarWriter } from "../tar/write.ts";
import { acceptUnverified, type RawImage } from "../trust/verified-image.ts";
import { type ImageRecord, openStore, type Store } from "./store.ts";

export interface TestStore extends Disposable {
  readonly store: Store;
  readonly dir: string;
  /** The same directory as another process would open it. */
  reopen(): Store;
}

export function testStore(): TestStore {
  const top = mkdtempSync(join(tmpdir(), "rkt-store-"));
  const dir = join(top, "data");
  const opened: Store[] = [openStore(dir)];
  const [store] = opened;
  if (store === undefined) throw new Error("no store");
  return {
    store,
    dir,
    reopen() {
      const other = openStore(dir);
      opened.push(other);
      return other;
    },
    [Symbol.dispose]() {
      for (const each of opened) each[Symbol.dispose]();
      rmSync(top, { recursive: true, force: true });
    },
  };
}

export interface TestFile extends Partial<Pick<TarEntry, "mode" | "uid" | "gid" | "linkName">> {
  readonly kind?: TarKind;
  readonly text?: string | Uint8Array;
  readonly time?: number;
}

export interface TestImage {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly dependencies?: readonly Readonly<Record<string, unknown>>[];
  readonly pathWhitelist?: readonly string[];
  /** Path below rootfs → content, or more about the entry. */
  readonly files?: Readonly<Record<string, string | TestFile>>;
  /** Written instead of a manifest made from the above. */
  readonly manifest?: string;
}

/** The bytes of an uncompressed ACI. */
export function makeAci(image: TestImage): Buffer {
  const chunks: Buffer[] = [];
  const tar = new TarWriter((chunk) => chunks.push(Buffer.from(chunk)));
  const manifest =
    image.manifest ??
    JSON.stringify({
      acKind: "ImageManifest",
      acVersion: "0.8.11",
      name: image.name ?? "example.com/app",
      labels: Object.entries({ os: "linux", arch: "amd64", ...image.labels }).map(
        ([name, value]) => ({ name, value }),
      ),
      app: { exec: ["/bin/app"], user: "0", group: "0" },
      dependencies: image.dependencies ?? [],
      pathWhitelist: image.pathWhitelist ?? [],
    });
  tar.entry({ name: "manifest", kind: "file", mode: 0o644 }, Buffer.from(manifest));
  tar.entry({ name: "rootfs", kind: "directory", mode: 0o755 });
  for (const [path, value] of Object.entries(image.files ?? {})) {
    const file: TestFile = typeof value === "string" ? { text: value } : value;
    const { text = "", kind = "file", time = 1_500_000_000, mode, ...rest } = file;
    tar.entry(
      {
        ...rest,
        name: `rootfs/${path}`,
        kind,
        mode: mode ?? (kind === "directory" ? 0o755 : 0o644),
        mtime: { seconds: time, nanoseconds: 0 },
      },
      Buffer.from(text),
    );
  }
  tar.finish();
  return Buffer.concat(chunks);
}

export interface TestRaw extends RawImage, Disposable {}

/** A downloaded file in cas/tmp. */
export function rawFile(store: Store, bytes: Uint8Array): TestRaw {
  const path = join(store.tmpDir, `download-${randomBytes(6).toString("hex")}`);
  writeFileSync(path, bytes);
  const fd = openSync(path, "r+");
  return {
    path,
    fd,
    size: bytes.length,
    async hash(algorithm) {
      const hash = createHash(algorithm);
      const buffer = Buffer.alloc(1 << 20);
      for (let at = 0; ; ) {
        const n = readSync(fd, buffer, 0, buffer.length, at);
        if (n === 0) return hash;
        hash.update(buffer.subarray(0, n));
        at += n;
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

export async function addBytes(
  store: Store,
  bytes: Uint8Array,
  options: { readonly latest: boolean } = { latest: false },
): Promise<ImageRecord> {
  using raw = rawFile(store, bytes);
  return await store.importImage(acceptUnverified(raw, "test"), options);
}

export function addImage(
  store: Store,
  image: TestImage = {},
  options?: { readonly latest: boolean },
): Promise<ImageRecord> {
  return addBytes(store, makeAci(image), options);
}

/** The error that `work` ends with. */
export async function failure(work: () => unknown): Promise<Error & { code?: unknown }> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("did not fail");
}
