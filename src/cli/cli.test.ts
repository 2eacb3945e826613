// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runWords } from "./test-host.ts";

function temporary(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "rkt-cli-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

test("no command is a failure of its own kind", async () => {
  const { stdout, stderr, status } = await runWords([]);
  expect(stderr).toBe("rkt: missing command\n");
  expect(stdout).toStartWith("NAME:\n\trkt - ");
  expect(status).toBe(2);
  expect(await runWords(["image"])).toMatchObject({
    stderr: "image: missing command\n",
    status: 2,
  });
});

test("help goes to stdout and succeeds, however it is asked for", async () => {
  const help = await runWords(["help", "list"]);
  expect(help).toMatchObject({ stderr: "", status: 0 });
  for (const words of [
    ["list", "--help"],
    ["list", "-h"],
    ["--help", "list"],
    ["list", "x", "-h"],
  ]) {
    expect(await runWords(words)).toEqual(help);
  }
  expect(await runWords(["--help"])).toEqual(await runWords(["help"]));
  expect(await runWords(["image", "--help"])).toMatchObject({ stderr: "", status: 0 });
  expect(await runWords(["run", "img", "--help"])).toEqual(await runWords(["help", "run"]));
});

test("errors in flags print the reason and where the usage is on stderr", async () => {
  const { stdout, stderr, status } = await runWords(["list", "--nonsense"]);
  expect(stderr).toBe("Error: unknown flag: --nonsense\nsee 'rkt help list'\n");
  expect(stdout).toBe("");
  expect(status).toBe(254);
  expect((await runWords(["--nonsense"])).stderr).toBe(
    "Error: unknown flag: --nonsense\nsee 'rkt help'\n",
  );
  expect(await runWords(["run", "--pull-policy=bogus", "x"], { euid: 0 })).toEqual({
    stdout: "",
    stderr: `Error: invalid argument "bogus" for --pull-policy: unknown value "bogus", must be one of: never, new, update\nsee 'rkt help run'\n`,
    status: 254,
  });
});

test.each([
  [
    ["no-such-thing"],
    'Error: unknown command "no-such-thing" for "rkt"\nRun \'rkt --help\' for usage.\n',
  ],
  [["run", "x"], "run: cannot run as unprivileged user\n  try: run it as root: sudo rkt run\n"],
  [
    ["prepare", "x"],
    "prepare: cannot run as unprivileged user\n  try: run it as root: sudo rkt prepare\n",
  ],
  [
    ["run-prepared"],
    "run-prepared: cannot run as unprivileged user\n  try: run it as root: sudo rkt run-prepared\n",
  ],
  [["enter"], "enter: cannot run as unprivileged user\n  try: run it as root: sudo rkt enter\n"],
  [
    ["app", "exec"],
    "exec: cannot run as unprivileged user\n  try: run it as root: sudo rkt app exec\n",
  ],
  [["gc", "x"], "gc: cannot run as unprivileged user\n  try: run it as root: sudo rkt gc\n"],
  [["rm"], "rm: cannot run as unprivileged user\n  try: run it as root: sudo rkt rm\n"],
  [["attach", "x"], "attach: not available in this version\n"],
  [["api-service"], "api-service: not available in this version\n"],
  [["app", "list", "x"], "app list: not available in this version\n"],
  [["completion"], "completion: shell type is not specified\n  try: rkt completion bash\n"],
  [["completion", "zsh"], "completion: 'zsh' shell is not supported\n  try: rkt completion bash\n"],
  [["completion", "a", "b"], "completion: too many arguments, only shell type is expected\n"],
  [["image", "rm"], "rm: must provide at least one image ID\n"],
  [["fetch"], "fetch: must provide at least one image\n"],
  [["fetch", "--", "x"], "fetch: error parsing app image arguments: app arguments unsupported\n"],
  [
    ["fetch", "--store-only", "--no-store", "x"],
    "Flag --store-only has been deprecated, please use --pull-policy=never\nFlag --no-store has been deprecated, please use --pull-policy=update\nfetch: both --store-only and --no-store specified\n",
  ],
  [["run", "--exec=a", "b"], "run: --exec must follow an image\n"],
  [
    ["trust", "key"],
    "trust: aborting due to implicit unbounded trust (root domain)\na key without a prefix would be trusted for every image; say which of the two you mean:\n  try: --prefix=PREFIX for the images of one prefix, or --root for all images\n",
  ],
  [["trust", "--root", "--prefix=a", "k"], "trust: --root and --prefix usage mutually exclusive\n"],
  [
    ["trust", "--prefix=http://a", "k"],
    "trust: --prefix must not contain a URL scheme, omit http://\n",
  ],
  [
    ["trust", "--prefix=a", "--insecure-options=image", "k"],
    "trust: could not get the keystore\n  try: leave out --insecure-options=image, which turns the keystore off\n",
  ],
  [
    ["trust", "--root"],
    "trust: error determining key location: empty prefix\n  try: rkt trust --root PUBKEY, PUBKEY being a file or a URL\n",
  ],
])("rkt %p fails with one sentence", async (words, text) => {
  const { stdout, stderr, status } = await runWords(words);
  expect(stderr).toBe(text);
  expect(stdout).toBe("");
  expect(status).toBe(254);
});

test("a wrong number of arguments is said, prints the usage on stdout and fails", async () => {
  for (const words of [
    ["list", "x"],
    ["image", "list", "x"],
    ["image", "export", "a"],
    ["image", "cat-manifest"],
    ["image", "extract", "a"],
    ["image", "render", "a", "b", "c"],
    ["image", "verify"],
    ["image", "gc", "x"],
    ["config", "x"],
    ["trust"],
  ]) {
    const { stdout, stderr, status } = await runWords(words);
    expect({ words, status }).toEqual({ words, status: 254 });
    expect(stderr).toMatch(/^[a-z-]+: (missing argument|wrong number of arguments)\n$/);
    expect(stdout).toContain("USAGE:\n\trkt ");
  }
});

test("the flags of an experiment exist only while it is on", async () => {
  const words = ["run", "x", "--stdin=bad"];
  expect((await runWords(words)).stderr).toContain("unknown flag: --stdin");
  const env = { RKT_EXPERIMENT_ATTACH: "true" };
  expect((await runWords(words, { env })).stderr).toContain('invalid mode "bad"');
});

test("version prints what scripts look for", async () => {
  const { stdout, status } = await runWords(["version"]);
  expect(stdout).toMatch(
    /^rkt Version: \d+\.\d+\.\d+\S*\nappc Version: 0\.8\.11\nGo Version: none \(Bun .*\)\nGo OS\/Arch: linux\/\w+\nFeatures: -TPM -SDJOURNAL\n/,
  );
  expect(status).toBe(0);
});

test("an empty store lists nothing", async () => {
  using dir = temporary();
  const list = (...flags: string[]) =>
    runWords([`--dir=${dir.path}/data`, "image", "list", ...flags]);
  expect((await list()).stdout).toBe("ID\tNAME\tSIZE\tIMPORT TIME\tLAST USED\n");
  expect((await list("--no-legend")).stdout).toBe("");
  expect((await list("--format=json")).stdout).toBe("null\n");
  expect((await list("--fields=name,id")).stdout).toBe("NAME\tID\n");
  expect((await list("--order=up")).stderr).toStartWith(
    'Error: invalid argument "up" for --order: wrong sort order\n',
  );
});

test("the data directory is the flag's, else the configuration's", async () => {
  using dir = temporary();
  mkdirSync(`${dir.path}/etc/paths.d`, { recursive: true });
  writeFileSync(
    `${dir.path}/etc/paths.d/paths.json`,
    JSON.stringify({ rktKind: "paths", rktVersion: "v1", data: `${dir.path}/configured` }),
  );
  const { status } = await runWords([`--local-config=${dir.path}/etc`, "image", "list"]);
  expect(status).toBe(0);
  expect(() => mkdirSync(`${dir.path}/configured/cas`)).toThrow("EEXIST");
});

test("with --format=json an error is JSON too", async () => {
  using dir = temporary();
  writeFileSync(`${dir.path}/file`, "");
  const words = [`--dir=${dir.path}/file/data`, "image", "list", "--format=json"];
  const { stderr, stdout, status } = await runWords(words);
  expect(JSON.parse(stderr)).toMatchObject({ error: { command: "list" } });
  expect(stdout).toBe("");
  expect(status).toBe(254);
});

test("an image that is not there is one sentence", async () => {
  using dir = temporary();
  const words = [`--dir=${dir.path}/data`, "image", "cat-manifest", "example.com/none"];
  const { stderr, status } = await runWords(words);
  expect(stderr).toStartWith(
    'cat-manifest: cannot find image: no image "example.com/none" in the store\n',
  );
  expect(status).toBe(254);
});
