// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { drawBar, formatBytes, makeProgress } from "./progress.ts";

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1200, "1.2 KB"],
  [999_600, "1 MB"],
  [1_234_567, "1.23 MB"],
  [3_400_000_000, "3.4 GB"],
])("%p bytes", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test("the bar shows what is done and fits the line", () => {
  expect(drawBar("ACI", 1_200_000, 3_400_000, 60)).toBe(
    "Downloading ACI: [=========                 ] 1.2 MB/3.4 MB",
  );
  expect(drawBar("ACI", 3_400_000, 3_400_000, 60)).toBe(
    "Downloading ACI: [==========================] 3.4 MB/3.4 MB",
  );
  expect(drawBar("ACI", 1_200_000, 3_400_000, 30)).toBe("Downloading ACI: 1.2 MB/3.4 M");
  expect(drawBar("signature", 833, undefined, 80)).toBe(
    "Downloading signature: 833 B of an unknown total size",
  );
});

test("no frame is as wide as the terminal", () => {
  fc.assert(
    fc.property(
      fc.nat(10 ** 12),
      fc.option(fc.nat(10 ** 12), { nil: undefined }),
      fc.integer({ min: 1, max: 300 }),
      (done, total, columns) => {
        expect(drawBar("ACI", done, total, columns).length).toBeLessThan(Math.max(columns, 2));
      },
    ),
  );
});

test("frames are drawn at most ten times a second, and the last one always", () => {
  let now = 0;
  let written = "";
  const progress = makeProgress("ACI", 100, {
    columns: 80,
    now: () => now,
    write: (text) => {
      written += text;
    },
  });
  for (let done = 0; done <= 100; done++) {
    progress.update(done);
    now += 10;
  }
  progress.finish();
  progress.finish();
  const frames = written.split("\r").slice(1);
  expect(frames).toHaveLength(12);
  expect(frames.at(-1)).toEndWith("] 100 B/100 B\x1b[K\n");
});

test("a terminal of unknown size gets a bar, not a blank line", () => {
  let written = "";
  const progress = makeProgress("ACI", 100, {
    columns: 0,
    now: () => 0,
    write: (text) => {
      written += text;
    },
  });
  progress.finish();
  expect(written).toStartWith("\rDownloading ACI: [");
});
