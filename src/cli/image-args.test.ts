// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { fetchFlags, GLOBAL_FLAGS, runFlags, runImageFlags, signatureFlag } from "./flag-sets.ts";
import * as parsers from "./flag-values.ts";
import { HELP_FLAGS } from "./flags.ts";
import { type ImageArguments, parseImageArguments } from "./image-args.ts";

const CONTEXT = { cwd: "/home", parsers };

function run(...words: readonly string[]): ImageArguments {
  const flags = { ...GLOBAL_FLAGS, ...runFlags(), ...HELP_FLAGS };
  return parseImageArguments(
    words,
    { flags, imageFlags: runImageFlags(), appArguments: true },
    CONTEXT,
  );
}

function fetch(...words: readonly string[]): ImageArguments {
  const flags = { ...GLOBAL_FLAGS, ...fetchFlags(), ...HELP_FLAGS };
  return parseImageArguments(
    words,
    { flags, imageFlags: signatureFlag(), appArguments: false },
    CONTEXT,
  );
}

/** Only what was said about an image. */
function overrides(result: ImageArguments): unknown[] {
  return result.images.map((image) =>
    Object.fromEntries(
      Object.entries({ image: image.image, signature: image.signature, ...image.overrides }).filter(
        ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
      ),
    ),
  );
}

test("flags belong to the image before them, pod flags to the pod wherever they stand", () => {
  const result = run(
    "--net=host",
    "a",
    "--name=first",
    "--exec",
    "/bin/sh",
    "--hostname=h",
    "b",
    "--user=7",
    "--debug",
  );
  expect(result.values).toMatchObject({ net: "host", hostname: "h", debug: true });
  expect([...result.given]).toEqual(["net", "hostname", "debug"]);
  expect(overrides(result)).toEqual([
    { image: "a", name: "first", exec: "/bin/sh" },
    { image: "b", user: "7" },
  ]);
});

test("-- begins the arguments of the app and --- ends them", () => {
  const result = run("a", "--", "-x", "--net=host", "--", "---", "b", "--name=c", "--", "y");
  expect(overrides(result)).toEqual([
    { image: "a", args: ["-x", "--net=host", "--"] },
    { image: "b", name: "c", args: ["y"] },
  ]);
  expect(result.values).toMatchObject({ net: "default" });
});

test("a stray --- and empty words are not images", () => {
  expect(overrides(run("---", "a", "", "---", "b"))).toEqual([{ image: "a" }, { image: "b" }]);
});

test("flags of an image may follow its arguments", () => {
  expect(overrides(run("a", "--", "x", "---", "--name=n"))).toEqual([
    { image: "a", args: ["x"], name: "n" },
  ]);
});

test("every flag of an image arrives with its type", () => {
  const result = run(
    "--volume=data,kind=empty",
    "--volume=v,kind=host,source=/src",
    "--mount=volume=v,target=/all",
    "a",
    "--signature=s.asc",
    "--working-dir=/w",
    "--readonly-rootfs=true",
    "--mount=volume=data,target=/d",
    "--group=g",
    "--supplementary-gids=1,2",
    "--supplementary-gids=3",
    "--annotation=x.y=1",
    "--user-annotation=u=1",
    "--user-annotation=w=a=b",
    "--user-label=l=",
    "--environment=A=b=c",
    "--environment=D=",
    "--memory=16M",
    "--cpu=500m",
    "--cpu-shares=2",
    "--caps-retain=CAP_KILL,CAP_CHOWN",
    "--seccomp=mode=remove,errno=EPERM,mount,umount2",
    "--oom-score-adj=-5",
  );
  expect(overrides(result)).toEqual([
    {
      image: "a",
      signature: "s.asc",
      workingDirectory: "/w",
      readOnlyRootFS: true,
      mounts: [expect.objectContaining({ volume: "data", path: "/d" })],
      group: "g",
      supplementaryGIDs: [1, 2, 3],
      annotations: [{ name: "x.y", value: "1" }],
      userAnnotations: { u: "1", w: "a=b" },
      userLabels: { l: "" },
      environment: [
        { name: "A", value: "b=c" },
        { name: "D", value: "" },
      ],
      memory: "16M",
      cpu: "500m",
      cpuShares: 2,
      capsRetain: ["CAP_KILL", "CAP_CHOWN"],
      seccomp: { mode: "remove", errno: "EPERM", set: ["mount", "umount2"] },
      oomScoreAdj: -5,
    },
  ]);
  expect(result.mounts).toMatchObject([{ volume: "v", path: "/all" }]);
});

test("the deprecated names of the capability flags still work, and are reported", () => {
  const result = run("a", "--cap-retain=CAP_KILL");
  expect(overrides(result)).toEqual([{ image: "a", capsRetain: ["CAP_KILL"] }]);
  expect(result.deprecated).toEqual(["cap-retain"]);
});

const APP = "error parsing app image arguments: ";

test.each([
  [["--exec=x", "a"], "--exec must follow an image"],
  [["--name=x"], "--name must follow an image"],
  [["--signature=x", "a"], "--signature must follow an image"],
  [["--", "x"], `${APP}an image is required before any app arguments`],
  [["a", "--", "x", "---", "--", "y"], `${APP}only one set of app arguments allowed per image`],
  [
    ["a", "--exec=x", "--exec=y"],
    `${APP}invalid argument "y" for --exec: --exec specified multiple times for the same image`,
  ],
  [
    ["a", "--signature=x", "--signature=y"],
    `${APP}invalid argument "y" for --signature: --signature specified multiple times for the same image`,
  ],
  [
    ["a", "--readonly-rootfs=x"],
    `${APP}invalid argument "x" for --readonly-rootfs: --readonly-rootfs must be set with a boolean`,
  ],
  [
    ["a", "--memory=16"],
    `${APP}invalid argument "16" for --memory: memory limit of 16 bytes too low. Try a reasonable value, such as --memory=16M`,
  ],
  [["a", "--mount=volume=v,target=/x"], `${APP}dangling mount point "/x": volume "v" not found`],
  [["a", "--mount=volume=v,target=/x,foo=bar"], 'unknown mount parameter "foo"'],
  [["a", "--seccomp=mode=allow,x"], "invalid seccomp mode command-line override"],
  [["a", "--seccomp=x"], "invalid seccomp mode command-line override"],
  [["a", "--seccomp=mode=retain,foo=x"], "invalid seccomp command-line override"],
  [["a", "--cpu-shares=1"], "os/linux/cpu-shares must be between 2 and 262144, got 1"],
  [
    ["a", "--oom-score-adj=1001"],
    "os/linux/oom-score-adj must be between -1000 and 1000, got 1001",
  ],
  [["a", "--caps-retain=A", "--caps-remove=B"], "cannot use both --caps-retain and --caps-remove"],
  [["a", "--annotation=A=b"], "ACIdentifier must contain only lower case"],
  [["a", "--annotation=x"], "annotation must be specified as name=value"],
  [["a", "--environment=1=b"], 'environment variable does not have valid identifier "1"'],
  [["a", "--environment=A=b", "--environment=A=c"], 'environment variable "A" already set'],
  [["a", "--name=A"], "ACName must contain only lower case alphanumeric characters"],
  [["a", "--supplementary-gids=1,x"], '"x" is not a valid group ID'],
  [["--set-env=A=1", "--set-env=A=2"], 'invalid argument "A=2" for --set-env: key "A" already set'],
  [["--port=x"], '"x" is not in name:[ip:]port format'],
  [["--volume=x"], 'invalid value in --volume flag "x": '],
  [["--stage1-path=a", "--stage1-path=b"], "--stage1-path already used"],
  [
    ["--stage1-path=a", "--stage1-name=b"],
    "flags --stage1-path and --stage1-name are mutually exclusive",
  ],
  [["--stdin=tty", "a"], "must follow an image"],
  [["--dns=x"], "Invalid IP passed to --dns: x"],
  [["--hosts-entry=x"], "Did not understand --hosts-entry x"],
  [["--hosts-entry=x=y"], "Invalid IP passed to --hosts-entry: x"],
])("run %p is refused", (words, message) => {
  expect(() => run(...words)).toThrow(message);
});

test("fetch takes images and their signatures, and no arguments for apps", () => {
  expect(overrides(fetch("--full", "a", "--signature=s", "b", "--pull-policy=new"))).toEqual([
    { image: "a", signature: "s" },
    { image: "b" },
  ]);
  expect(() => fetch("a", "--", "x")).toThrow("app arguments unsupported");
  expect(() => fetch("a", "--exec=x")).toThrow("unknown flag: --exec");
});

test("a mount flag of an image that is asked for help is not checked", () => {
  expect(run("a", "--mount=volume=v,target=/x", "--help").help).toBe(true);
});

test("requests written as words are read back", () => {
  const word = fc
    .string({ minLength: 1 })
    .filter((text) => !text.startsWith("-") && text.trim() !== "");
  const argument = fc.string().filter((text) => text !== "---");
  const value = fc.string();
  const request = fc.record({
    image: word,
    exec: fc.option(value, { nil: undefined }),
    user: fc.option(value, { nil: undefined }),
    workingDirectory: fc.option(value, { nil: undefined }),
    environment: fc.dictionary(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,8}$/), value),
    args: fc.array(argument),
  });
  fc.assert(
    fc.property(fc.array(request), fc.option(word, { nil: undefined }), (requests, hostname) => {
      const words = hostname === undefined ? [] : [`--hostname=${hostname}`];
      for (const one of requests) {
        words.push(one.image);
        if (one.exec !== undefined) words.push("--exec", one.exec);
        if (one.user !== undefined) words.push(`--user=${one.user}`);
        if (one.workingDirectory !== undefined) words.push(`--working-dir=${one.workingDirectory}`);
        for (const [name, text] of Object.entries(one.environment)) {
          words.push(`--environment=${name}=${text}`);
        }
        if (one.args.length > 0) words.push("--", ...one.args, "---");
      }
      const result = run(...words);
      expect(result.values["hostname"]).toBe(hostname ?? "");
      expect(
        result.images.map(({ image, overrides: o }) => ({
          image,
          exec: o.exec,
          user: o.user,
          workingDirectory: o.workingDirectory,
          environment: Object.fromEntries(o.environment.map((v) => [v.name, v.value])),
          args: [...o.args],
        })),
      ).toEqual(requests.map((one) => ({ ...one, environment: { ...one.environment } })));
    }),
  );
});
