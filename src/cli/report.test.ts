// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { RktError } from "../lib/errors.ts";
import { formatError } from "./report.ts";

const plain = { commandName: "run", debug: false, json: false };

const nested = new RktError("APP_FAILED", 'cannot prepare "example.com/app"', {
  cause: new RktError("FETCH_FAILED", "cannot fetch it", {
    cause: new RktError("KEY_UNTRUSTED", "signing key is not trusted", {
      remedy: "rkt trust --prefix example.com/app",
      details: { prefix: "example.com/app" },
    }),
  }),
});

test("an error is its message, its root cause and, on its own line, the remedy", () => {
  expect(formatError(nested, plain)).toBe(
    'run: cannot prepare "example.com/app": signing key is not trusted\n  try: rkt trust --prefix example.com/app\n',
  );
});

test("with --debug the whole chain is shown as a tree", () => {
  expect(formatError(nested, { ...plain, debug: true })).toBe(
    'run: cannot prepare "example.com/app"\n  └─cannot fetch it\n    └─signing key is not trusted\n  try: rkt trust --prefix example.com/app\n',
  );
});

test("with --format=json an error is an object", () => {
  expect(JSON.parse(formatError(nested, { ...plain, json: true }))).toEqual({
    error: {
      command: "run",
      code: "APP_FAILED",
      message: 'cannot prepare "example.com/app"',
      cause: "signing key is not trusted",
      remedy: "rkt trust --prefix example.com/app",
    },
  });
});

test("a root cause that the message ends with is not said twice", () => {
  const error = new RktError("X", "cannot open: no such file", {
    cause: new Error("no such file"),
  });
  expect(formatError(error, plain)).toBe("run: cannot open: no such file\n");
});

test("a failed system call as cause names the call, the path and the reason", () => {
  let cause: unknown;
  try {
    readFileSync("/does/not/exist");
  } catch (error) {
    cause = error;
  }
  expect(formatError(new RktError("X", "cannot read it", { cause }), plain)).toBe(
    'run: cannot read it: open "/does/not/exist": no such file or directory\n',
  );
  expect(formatError(cause, plain)).toBe(
    'run: open "/does/not/exist": no such file or directory\n',
  );
});

test("a bug shows its stack and says what it is", () => {
  const text = formatError(new TypeError("undefined is not a function"), plain);
  expect(text).toStartWith("run: internal error: this is a bug");
  expect(text).toContain("undefined is not a function");
  expect(text).toContain("report.test.ts");
  expect(formatError("thrown text", plain)).toContain("this is a bug");
});

test("control characters from outside do not reach the terminal", () => {
  expect(formatError(new RktError("X", "a\x1b[31mb\nc\td"), plain)).toBe("run: a[31mb\nc\td\n");
});
