// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createPod,
  ensurePodDirectories,
  markGarbage,
  moveToPrepared,
  type PodRef,
  podsDirectory,
} from "../pod/directory.ts";
import { deletePod } from "./delete-pod.ts";

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "rkt-delete-"));
  ensurePodDirectories(dataDir);
});

afterEach(() => rmSync(dataDir, { recursive: true }));

function preparedPod(): PodRef {
  return moveToPrepared(dataDir, createPod(dataDir));
}

test("a pod in garbage is deleted with all that it holds, once", () => {
  const marked = markGarbage(dataDir, preparedPod()) as PodRef;
  mkdirSync(join(marked.path, "overlay", "x"), { recursive: true });
  deletePod(marked);
  deletePod(marked);
  expect(readdirSync(podsDirectory(dataDir, "garbage"))).toEqual([]);
});

test("who looks at a pod for a moment is waited for, who stays is not", async () => {
  const marked = markGarbage(dataDir, preparedPod()) as PodRef;
  const look = (seconds: string) =>
    Bun.spawn(
      [
        "flock",
        "--close",
        "--shared",
        marked.path,
        "sh",
        "-c",
        `echo locked; exec sleep ${seconds}`,
      ],
      {
        stdout: "pipe",
      },
    );
  const stays = look("5");
  await stays.stdout.getReader().read();
  expect(() => deletePod(marked)).toThrow("is currently being deleted");
  stays.kill();
  await stays.exited;
  const looks = look("0.1");
  await looks.stdout.getReader().read();
  deletePod(marked);
  expect(readdirSync(podsDirectory(dataDir, "garbage"))).toEqual([]);
});

test("a pod that is not garbage is never deleted", () => {
  expect(() => deletePod(preparedPod())).toThrow("cannot be deleted while it is prepared");
});
