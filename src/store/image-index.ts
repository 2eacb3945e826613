// SPDX-License-Identifier: Apache-2.0
// The index of the images: names, times, sizes and URLs, for look-ups that the directories cannot answer
// (rkt-runtime §6.2). Blobs, manifests and records on disk are the truth; the index is made again from
// them when it is missing or damaged. SQLite with a rollback journal: no extra files stay behind, and it
// works when only the group may write. Every opener holds a shared flock on cas, a rebuild an exclusive one.
import type { Database } from "bun:sqlite";
import { closeSync, fsyncSync, readdirSync, renameSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ImageKey } from "../appc/index.ts";
import { once } from "../lib/once.ts";
import { redactUrl } from "../lib/text.ts";
import { fsyncDir } from "../sys/durable.ts";
import { type Lock, lockDirectory } from "../sys/lock.ts";
import { randomName } from "../sys/random-name.ts";
import { removeFile } from "../sys/remove-file.ts";
import { StoreError } from "./errors.ts";
import { type ImageRow, type IndexRow, toImageRow } from "./image-row.ts";
import { createSharedFile, type StorePaths } from "./layout.ts";

// Loaded when the index is opened: a start that finds its name in the cache does not.
const sqlite = once((): typeof import("bun:sqlite") => require("bun:sqlite"));

/** 7 is rkt 1.30's last one; 8 adds the full image ID and the verification. */
export const SCHEMA_VERSION = 8;

/** What is known of a URL that an image came from. `maxAge` is in seconds. */
export interface RemoteRecord {
  readonly url: string;
  readonly signatureUrl: string;
  readonly etag: string;
  readonly maxAge: number;
  readonly key: ImageKey;
  readonly downloadTime: Date;
}

const SCHEMA = `
CREATE TABLE version (version INTEGER NOT NULL);
CREATE TABLE aciinfo (
  blobkey TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  importtime INTEGER NOT NULL, -- times are milliseconds since 1970
  lastused INTEGER NOT NULL,
  latest INTEGER NOT NULL,
  size INTEGER NOT NULL,
  treestoresize INTEGER NOT NULL,
  imageid TEXT NOT NULL,
  verification TEXT -- JSON; NULL when unknown
) WITHOUT ROWID;
CREATE INDEX aciinfo_name ON aciinfo (name);
CREATE TABLE remote (
  aciurl TEXT NOT NULL PRIMARY KEY,
  sigurl TEXT NOT NULL,
  etag TEXT NOT NULL,
  blobkey TEXT NOT NULL,
  cachemaxage INTEGER NOT NULL,
  downloadtime INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX remote_blobkey ON remote (blobkey);
INSERT INTO version VALUES (${SCHEMA_VERSION});
`;

/** As long as the slowest disk may take for somebody else's commit. */
const BUSY_TIMEOUT_MS = 30_000;

interface Remote {
  readonly aciurl: string;
  readonly sigurl: string;
  readonly etag: string;
  readonly blobkey: string;
  readonly cachemaxage: number;
  readonly downloadtime: number;
}

export class ImageIndex implements Disposable {
  readonly #paths: StorePaths;
  readonly #scan: () => Iterable<ImageRow>;
  #lock: Lock;
  #db: Database;

  /** `scan` gives the rows that the files on disk account for; it is run only for a rebuild. */
  constructor(paths: StorePaths, scan: () => Iterable<ImageRow>) {
    this.#paths = paths;
    this.#scan = scan;
    this.#lock = lockDirectory(paths.cas, "shared");
    try {
      this.#db = openDatabase(paths.index) ?? this.#rebuild();
    } catch (error) {
      this.#lock[Symbol.dispose]();
      throw explain(error, "open");
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
    this.#lock[Symbol.dispose]();
  }

  get(key: ImageKey): ImageRow | undefined {
    return this.#read((db) => {
      const row = db.query<IndexRow, [string]>("SELECT * FROM aciinfo WHERE blobkey = ?").get(key);
      return row === null ? undefined : toImageRow(row);
    });
  }

  /** The images of this name, the one to prefer first: most recently imported. */
  byName(name: string): readonly IndexRow[] {
    return this.#read((db) =>
      db
        .query<IndexRow, [string]>(
          "SELECT * FROM aciinfo WHERE name = ? ORDER BY importtime DESC, blobkey",
        )
        .all(name),
    );
  }

  /** All images in the order of import. */
  all(): readonly ImageRow[] {
    return this.#read((db) =>
      db
        .query<IndexRow, []>("SELECT * FROM aciinfo ORDER BY importtime, blobkey")
        .all()
        .map(toImageRow),
    );
  }

  /** Adds or replaces an image; the size of its tree stays as it is known. */
  put(row: ImageRow): void {
    this.#write((db) => insertRow(db, row));
  }

  /** Removes an image and the URLs that led to it. */
  remove(key: ImageKey): void {
    this.#write((db) =>
      db.transaction(() => {
        db.query("DELETE FROM remote WHERE blobkey = ?").run(key);
        db.query("DELETE FROM aciinfo WHERE blobkey = ?").run(key);
      })(),
    );
  }

  setLastUsed(key: ImageKey, time: Date): void {
    this.#write((db) =>
      db.query("UPDATE aciinfo SET lastused = ? WHERE blobkey = ?").run(time.getTime(), key),
    );
  }

  setTreeSize(key: ImageKey, size: number): void {
    this.#write((db) =>
      db.query("UPDATE aciinfo SET treestoresize = ? WHERE blobkey = ?").run(size, key),
    );
  }

  /** By the URL without its user and password, which are not stored. */
  remote(url: string): RemoteRecord | undefined {
    return this.#read((db) => {
      const row = db
        .query<Remote, [string]>("SELECT * FROM remote WHERE aciurl = ?")
        .get(redactUrl(url));
      if (row === null) return undefined;
      return {
        url: row.aciurl,
        signatureUrl: row.sigurl,
        etag: row.etag,
        maxAge: row.cachemaxage,
        key: row.blobkey as ImageKey,
        downloadTime: new Date(row.downloadtime),
      };
    });
  }

  putRemote(record: RemoteRecord): void {
    this.#write((db) =>
      db
        .query("INSERT OR REPLACE INTO remote VALUES (?, ?, ?, ?, ?, ?)")
        .run(
          redactUrl(record.url),
          redactUrl(record.signatureUrl),
          record.etag,
          record.key,
          record.maxAge,
          record.downloadTime.getTime(),
        ),
    );
  }

  #read<T>(work: (db: Database) => T): T {
    return this.#attempt(work, "read");
  }

  #write(work: (db: Database) => unknown): void {
    this.#attempt((db) => {
      // One fsync less than FULL; the files that the index is made from are the truth. Set only here: it
      // costs a reader 0.1 ms.
      db.run("PRAGMA synchronous = NORMAL");
      return work(db);
    }, "write");
  }

  /** Runs `work`; once more on a rebuilt index when this one turns out to be damaged. */
  #attempt<T>(work: (db: Database) => T, action: string): T {
    try {
      return work(this.#db);
    } catch (error) {
      if (!isDamaged(error)) throw explain(error, action);
    }
    try {
      this.#db.close();
      this.#db = this.#rebuild();
      return work(this.#db);
    } catch (error) {
      throw explain(error, action);
    }
  }

  /** Makes the index from the files, unless another process has done so meanwhile. */
  #rebuild(): Database {
    this.#lock[Symbol.dispose]();
    // Waits for everybody else to close: an open index must not be replaced behind its user's back.
    this.#lock = lockDirectory(this.#paths.cas, "exclusive");
    const repaired = openDatabase(this.#paths.index);
    if (repaired === undefined) writeDatabase(this.#paths.index, this.#scan());
    repaired?.close();
    this.#lock[Symbol.dispose]();
    this.#lock = lockDirectory(this.#paths.cas, "shared");
    const db = openDatabase(this.#paths.index);
    if (db === undefined) throw new StoreError("INDEX_FAILED", "cannot rebuild the image index");
    return db;
  }
}

/** Opens the index; undefined when it is missing or damaged. Throws INDEX_VERSION when it is too new. */
function openDatabase(path: string): Database | undefined {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  let db: Database | undefined;
  try {
    db = new (sqlite().Database)(path, { readwrite: true, create: false });
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    const version = db.query<{ version: number }, []>("SELECT version FROM version").get()?.version;
    if (version === undefined || version < SCHEMA_VERSION) {
      db.close();
      return undefined;
    }
    if (version > SCHEMA_VERSION) {
      throw new StoreError(
        "INDEX_VERSION",
        `current store db version: ${version} (greater than the current rkt expected version: ${SCHEMA_VERSION})`,
        { remedy: "use the newer rkt that wrote it", details: { path, version } },
      );
    }
    return db;
  } catch (error) {
    db?.close();
    if (isDamaged(error)) return undefined;
    throw error;
  }
}

/** Writes a whole new index beside the old one and puts it in its place. */
function writeDatabase(path: string, rows: Iterable<ImageRow>): void {
  // What a rebuild that died has left: this is under the exclusive lock.
  for (const name of readdirSync(dirname(path))) {
    if (name.startsWith(`${basename(path)}.`)) removeFile(join(dirname(path), name));
  }
  const temporary = `${path}.${randomName(6)}.tmp`;
  const fd = createSharedFile(temporary);
  try {
    const db = new (sqlite().Database)(temporary, { readwrite: true, create: false });
    try {
      // The file is thrown away if anything fails: a journal would only be one more to remove.
      db.run("PRAGMA journal_mode = MEMORY");
      db.run("PRAGMA synchronous = OFF");
      db.transaction(() => {
        db.run(SCHEMA);
        for (const row of rows) insertRow(db, row);
      })();
    } finally {
      db.close();
    }
    fsyncSync(fd);
    // A journal belongs to the file that goes: SQLite would play it back into the new one.
    removeFile(`${path}-journal`);
    renameSync(temporary, path);
    fsyncDir(dirname(path));
  } catch (error) {
    removeFile(temporary);
    throw error;
  } finally {
    closeSync(fd);
  }
}

function insertRow(db: Database, row: ImageRow): void {
  const { verification } = row;
  db.query(
    `INSERT INTO aciinfo VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (blobkey) DO UPDATE SET name = excluded.name, importtime = excluded.importtime,
       lastused = excluded.lastused, latest = excluded.latest, size = excluded.size,
       imageid = excluded.imageid, verification = excluded.verification`,
  ).run(
    row.key,
    row.name,
    row.importTime.getTime(),
    row.lastUsed.getTime(),
    row.latest ? 1 : 0,
    row.size,
    row.treeSize,
    row.id,
    verification.kind === "unknown" ? null : JSON.stringify(verification),
  );
}

function isDamaged(error: unknown): boolean {
  if (!(error instanceof sqlite().SQLiteError)) return false;
  // "no such table/column": the file is a database, but not (or not completely) ours.
  return (
    error.code === "SQLITE_CORRUPT" ||
    error.code === "SQLITE_NOTADB" ||
    (error.code === "SQLITE_ERROR" && error.message.startsWith("no such "))
  );
}

function explain(error: unknown, action: string): unknown {
  if (!(error instanceof sqlite().SQLiteError)) return error;
  // SQLite does not say why it cannot open a file; for root it is hardly the permissions.
  const denied = error.code === "SQLITE_READONLY" || error.code === "SQLITE_CANTOPEN";
  return new StoreError("INDEX_FAILED", `cannot ${action} the image index`, {
    cause: error,
    remedy:
      denied && process.geteuid?.() !== 0
        ? "run as root or as a member of the group rkt"
        : undefined,
    details: { code: error.code },
  });
}
