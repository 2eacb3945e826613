// SPDX-License-Identifier: Apache-2.0
import { afterEach, expect, spyOn, test } from "bun:test";
import { makeRing, RingReader, RingWriter } from "./inflate-ring.ts";

afterEach(() => {
  spyOn(Atomics, "load").mockRestore();
});

// The writer's whole work falls between two looks of the reader at the shared memory, each pair in turn.
test.each([1, 2, 3, 4])("no output is lost when it ends after the reader's look no. %d", (look) => {
  const shared = makeRing();
  const reader = new RingReader(shared);
  const writer = new RingWriter(shared);
  const load = Atomics.load.bind(Atomics);
  let looks = 0;
  spyOn(Atomics, "load").mockImplementation(((state: Int32Array, index: number) => {
    const value = load(state, index);
    if (++looks === look) {
      writer.put(Buffer.from("the last output"));
      writer.flush();
      writer.finish({ digest: "", bytes: 15 });
    }
    return value;
  }) as typeof Atomics.load);
  const seen: string[] = [];
  for (let chunk = reader.next(); chunk !== undefined; chunk = reader.next()) {
    seen.push(chunk.toString());
  }
  expect(seen).toEqual(["the last output"]);
  expect(reader.bytes).toBe(15);
});
