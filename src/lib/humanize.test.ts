// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { formatTime, humanizeAge, humanizeBytes } from "./humanize.ts";

const NOW = new Date("2026-06-01T12:00:00Z");
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test.each([
  [0, "now"],
  [1, "1 second ago"],
  [2, "2 seconds ago"],
  [59, "59 seconds ago"],
  [MINUTE, "1 minute ago"],
  [2 * MINUTE, "2 minutes ago"],
  [HOUR, "1 hour ago"],
  [3 * HOUR + 5, "3 hours ago"],
  [DAY, "1 day ago"],
  [6 * DAY, "6 days ago"],
  [7 * DAY, "1 week ago"],
  [29 * DAY, "4 weeks ago"],
  [30 * DAY, "1 month ago"],
  [11 * 30 * DAY, "11 months ago"],
  [360 * DAY, "1 year ago"],
  [600 * DAY, "2 years ago"],
  [3 * 360 * DAY, "3 years ago"],
  [40 * 360 * DAY, "a long while ago"],
  [-5, "5 seconds from now"],
])("an age of %p seconds", (seconds, text) => {
  expect(humanizeAge(new Date(NOW.getTime() - seconds * 1000), NOW)).toBe(text);
});

test.each([
  [0, "0B"],
  [9, "9B"],
  [10, "10B"],
  [1023, "1023B"],
  [1536, "1.5KiB"],
  [12 * 2 ** 20, "12MiB"],
  [2 ** 30, "1.0GiB"],
])("a size of %p bytes", (bytes, text) => {
  expect(humanizeBytes(bytes)).toBe(text);
});

test("formatTime drops the zeros at the end of the fraction, and the fraction with them", () => {
  const at = (zone: string, time: string): string => {
    const before = process.env["TZ"];
    process.env["TZ"] = zone;
    try {
      return formatTime(new Date(time));
    } finally {
      process.env["TZ"] = before ?? "Etc/UTC";
    }
  };
  expect(at("Etc/UTC", "2026-01-02T03:04:05.120Z")).toBe("2026-01-02 03:04:05.12 +0000 UTC");
  expect(at("Etc/UTC", "2026-01-02T03:04:05Z")).toBe("2026-01-02 03:04:05 +0000 UTC");
  expect(at("Europe/Berlin", "2026-01-02T03:04:05.5Z")).toBe("2026-01-02 04:04:05.5 +0100 CET");
  expect(at("America/New_York", "2026-07-02T03:04:05Z")).toBe("2026-07-01 23:04:05 -0400 EDT");
  expect(at("America/Sao_Paulo", "2026-07-02T03:04:05Z")).toBe("2026-07-02 00:04:05 -0300 -03");
});
