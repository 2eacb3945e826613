// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createPod,
  ensurePodDirectories,
  findPod,
  holdEnded,
  listFolder,
  listPods,
  markGarbage,
  moveToPrepared,
  moveToRun,
  type PodRef,
  podsDirectory,
  resolvePod,
  takePrepared,
} from "./directory.ts";

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "rkt-pods-"));
  ensurePodDirectories(dataDir);
});

afterEach(() => rmSync(dataDir, { recursive: true }));

function preparedPod(): PodRef {
  return moveToPrepared(dataDir, createPod(dataDir));
}

describe("a pod's life", () => {
  test("a new pod is preparing while its lock is held and an aborted prepare after", () => {
    const pod = createPod(dataDir);
    expect(findPod(dataDir, pod.uuid)?.state).toBe("preparing");
    pod[Symbol.dispose]();
    expect(findPod(dataDir, pod.uuid)?.state).toBe("aborted prepare");
  });

  test("a pod in run is running while its lock is held and exited after", () => {
    const pod = moveToRun(dataDir, createPod(dataDir));
    expect(findPod(dataDir, pod.uuid)?.state).toBe("running");
    pod[Symbol.dispose]();
    expect(findPod(dataDir, pod.uuid)?.state).toBe("exited");
  });

  test("a prepared pod can be taken once", () => {
    const prepared = preparedPod();
    expect(prepared.state).toBe("prepared");
    const refusal = `pod "${prepared.uuid}" is not prepared`;
    const taken = takePrepared(prepared);
    expect(() => takePrepared(prepared)).toThrow(refusal);
    expect(markGarbage(dataDir, prepared)).toBeUndefined();
    const running = moveToRun(dataDir, taken);
    expect(() => takePrepared(prepared)).toThrow(refusal);
    running[Symbol.dispose]();
    expect(() => takePrepared(prepared)).toThrow(refusal);
  });

  test("a prepared pod that is taken and not started stays prepared", () => {
    const prepared = preparedPod();
    takePrepared(prepared)[Symbol.dispose]();
    using _again = takePrepared(prepared);
    expect(findPod(dataDir, prepared.uuid)?.state).toBe("prepared");
  });

  test("only a pod that nobody holds is marked as garbage", () => {
    const pod = moveToRun(dataDir, createPod(dataDir));
    const running = findPod(dataDir, pod.uuid) as PodRef;
    expect(markGarbage(dataDir, running)).toBeUndefined();
    pod[Symbol.dispose]();
    expect(markGarbage(dataDir, running)?.state).toBe("exited garbage");
    expect(findPod(dataDir, pod.uuid)?.state).toBe("exited garbage");
  });

  test("a pod that has ended and is held stays, wherever it was found", () => {
    moveToRun(dataDir, createPod(dataDir))[Symbol.dispose]();
    const [exited] = listPods(dataDir, ["run"]);
    if (exited === undefined) throw new Error("no pod");
    {
      using held = holdEnded(dataDir, exited);
      expect(held.pod).toEqual(exited);
      expect(markGarbage(dataDir, exited)).toBeUndefined();
      expect(findPod(dataDir, exited.uuid)?.state).toBe("exited");
    }
    markGarbage(dataDir, exited);
    {
      using held = holdEnded(dataDir, exited);
      expect(held.pod.state).toBe("exited garbage");
    }
    rmSync(podsDirectory(dataDir, "exited-garbage"), { recursive: true });
    expect(() => holdEnded(dataDir, exited)).toThrow("is being removed");
  });

  test("a pod that has gone on cannot be marked from where it was", () => {
    const prepared = preparedPod();
    markGarbage(dataDir, prepared);
    expect(markGarbage(dataDir, prepared)).toBeUndefined();
  });
});

describe("folders", () => {
  test("they are made for root and group rkt alone", () => {
    expect(statSync(podsDirectory(dataDir, "run")).mode & 0o7777).toBe(0o2750);
  });

  test("a file in one is reported and a directory that is no UUID is left out", () => {
    writeFileSync(join(podsDirectory(dataDir, "run"), "stray"), "");
    mkdirSync(join(podsDirectory(dataDir, "run"), "not-a-uuid"));
    expect(listFolder(dataDir, "run")).toEqual({ pods: [], unrecognized: ["stray"] });
  });

  test("every pod is listed with its state", () => {
    const prepared = preparedPod();
    using running = moveToRun(dataDir, createPod(dataDir));
    const states = listPods(dataDir, ["prepared", "run"]).map((p) => [p.uuid, p.state]);
    expect(states).toEqual([
      [prepared.uuid, "prepared"],
      [running.uuid, "running"],
    ]);
  });
});

describe("a UUID prefix", () => {
  test("finds the pod in any case", () => {
    const pod = preparedPod();
    expect(resolvePod(dataDir, pod.uuid.slice(0, 8).toUpperCase()).uuid).toBe(pod.uuid);
  });

  test("that fits two pods is refused", () => {
    preparedPod();
    preparedPod();
    expect(() => resolvePod(dataDir, "")).toThrow('no matches found for ""');
    const first = "0123456789abcdef"
      .split("")
      .filter((c) => listPods(dataDir, ["prepared"]).some((p) => p.uuid.startsWith(c)));
    if (first.length === 1) {
      expect(() => resolvePod(dataDir, first[0] as string)).toThrow("ambiguous uuid, 2 matches");
    }
  });

  test("that fits none, or is no UUID, is refused", () => {
    expect(() => resolvePod(dataDir, "../../etc")).toThrow('no matches found for "../../etc"');
  });

  test("does not find garbage", () => {
    const marked = markGarbage(dataDir, preparedPod()) as PodRef;
    expect(() => resolvePod(dataDir, marked.uuid)).toThrow("no matches found");
  });
});
