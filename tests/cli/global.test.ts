// SPDX-License-Identifier: Apache-2.0
// What is the same for every command: the words of the command line, help, statuses (rkt-cli §1).
import { expect } from "bun:test";
import { needs } from "../support/needs.ts";
import { newRkt } from "../support/rkt.ts";

const test = needs("root", "sandbox");
const asNobody = { under: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] };

test("version prints five lines", async () => {
  await using rkt = newRkt();
  const lines = (await rkt.ok(["version"])).trimEnd().split("\n");
  expect(lines[0]).toMatch(/^rkt Version: \d+\.\d+\.\d+/);
  expect(lines[1]).toBe("appc Version: 0.8.11");
  expect(lines.map((line) => line.split(":")[0])).toContain("Features");
});

test("no command is an error of its own kind, with the usage on stdout", async () => {
  await using rkt = newRkt();
  const result = await rkt.run([]);
  expect(result.stderr).toContain("missing command");
  expect(result.stdout).toStartWith("NAME:\n\trkt - ");
  expect(result.status).toBe(2);
});

test("help and --help print the usage on stdout and succeed", async () => {
  await using rkt = newRkt();
  const root = await rkt.ok(["help"]);
  expect(await rkt.ok(["--help"])).toBe(root);
  for (const title of ["NAME", "USAGE", "VERSION", "COMMANDS", "DESCRIPTION", "OPTIONS"]) {
    expect(root).toMatch(new RegExp(`^${title}:$`, "m"));
  }
  expect(root).toMatch(/^\timage list\t*\s+\S/m);
  const fetch = await rkt.ok(["help", "fetch"]);
  expect(await rkt.ok(["fetch", "--help"])).toBe(fetch);
  expect(fetch).toContain('--pull-policy="update"');
  expect(fetch).toContain("GLOBAL OPTIONS:");
  expect(fetch).not.toContain("--store-only");
});

test("every command that help lists has a help of its own", async () => {
  await using rkt = newRkt();
  const root = await rkt.ok(["help"]);
  const section = /COMMANDS:\n([\s\S]*?)\n\n/.exec(root)?.[1] ?? "";
  const names = section.split("\n").map((line) => line.trim().split(/\s{2,}|\t+/)[0] ?? "");
  for (const name of ["run", "fetch", "list", "image gc", "trust", "logs"])
    expect(names).toContain(name);
  for (const name of names) {
    const text = await rkt.ok(["help", ...name.split(" ")]);
    expect(text).toStartWith(`NAME:\n\t${name} - `);
  }
});

test("an unknown command is named, with suggestions for a slip of the finger", async () => {
  await using rkt = newRkt();
  const { stderr, stdout } = await rkt.fails(["fecth"], 'Error: unknown command "fecth" for "rkt"');
  expect(stderr).toContain("Did you mean this?");
  expect(stderr).toContain("fetch");
  expect(stderr).toContain("Run 'rkt --help' for usage.");
  expect(stdout).toBe("");
});

test("flag errors name the flag", async () => {
  await using rkt = newRkt();
  await rkt.fails(["list", "--nonsense"], "Error: unknown flag: --nonsense");
  await rkt.fails(["gc", "--grace-period"], "Error: flag needs an argument: --grace-period");
  await rkt.fails(
    ["gc", "--grace-period=soon"],
    /Error: invalid argument "soon" for .*--grace-period/,
  );
  await rkt.fails(["list", "--full=maybe"], /Error: invalid argument "maybe" for .*--full/);
  await rkt.fails(["list", "--format=xml"], /Error: invalid argument "xml" for .*--format/);
  await rkt.fails(["--insecure-options=all,nonsense", "list"], 'unknown option "nonsense"');
  await rkt.fails(["--insecure-options=tls,tls", "list"], 'duplicated option "tls"');
  await rkt.fails(["--dir=", "list"], '"" is not a valid directory');
});

test("a command may be shortened while it stays unambiguous", async () => {
  await using rkt = newRkt();
  expect(await rkt.ok(["ver"])).toBe(await rkt.ok(["version"]));
  expect(await rkt.ok(["im", "li", "--no-legend"])).toBe("");
  await rkt.fails(["l"], "unknown command");
});

test("flags of a command may stand before it, global flags after it", async () => {
  await using rkt = newRkt();
  expect(await rkt.ok(["--no-legend=true", "list"])).toBe("");
  expect(await rkt.ok(["list", "--no-legend", "--debug"])).toBe("");
});

test("a wrong number of arguments prints the usage and fails", async () => {
  await using rkt = newRkt();
  for (const args of [
    ["image", "export", "one"],
    ["image", "cat-manifest"],
    ["image", "extract", "one"],
    ["image", "render"],
    ["export", "one"],
    ["status"],
    ["cat-manifest"],
    ["run-prepared"],
    ["enter"],
    ["rm"],
    ["trust"],
    ["logs"],
  ]) {
    const result = await rkt.run(args);
    expect({ args, status: result.status, usage: result.stdout.includes("USAGE:") }).toEqual({
      args,
      status: 254,
      usage: true,
    });
  }
});

test("commands that need root say so to others before anything else", async () => {
  await using rkt = newRkt();
  for (const command of ["run", "prepare", "run-prepared", "enter", "gc", "rm"]) {
    const { stdout } = await rkt.fails(
      [command, "x"],
      `${command}: cannot run as unprivileged user`,
      asNobody,
    );
    expect(stdout).toBe("");
  }
});

test("enter says where its flags go", async () => {
  await using rkt = newRkt();
  const { stderr } = await rkt.fails(
    ["enter", "12345678", "--app=web", "ps"],
    'enter: cannot execute "--app=web": not a program',
  );
  expect(stderr).toContain("try: flags go before the UUID: rkt enter --app=NAME UUID PROGRAM");
});

test("commands that only look work without root, or say what they may not read", async () => {
  await using rkt = newRkt();
  const open = rkt.data.replace(/data$/, "none");
  expect((await rkt.run([`--dir=${open}`, "version"], asNobody)).status).toBe(0);
  const list = await rkt.run([`--dir=${open}`, "image", "list"], asNobody);
  expect([0, 254]).toContain(list.status);
  expect(list.stderr).not.toContain("this is a bug");
});

test("no .env and no bunfig.toml of the working directory is read", async () => {
  await using rkt = newRkt();
  const { writeFileSync } = await import("node:fs");
  writeFileSync(`${rkt.work}/.env`, "RKT_EXPERIMENT_APP=true\n");
  writeFileSync(`${rkt.work}/bunfig.toml`, 'preload = ["./boom.ts"]\n');
  writeFileSync(`${rkt.work}/boom.ts`, 'throw new Error("boom")\n');
  const { stdout, stderr } = await rkt.run(["help"], { cwd: rkt.work });
  expect(stderr).toBe("");
  expect(stdout).not.toContain("app sandbox");
});

test("bytes on the command line that are no text do not reach the terminal as they are", async () => {
  await using rkt = newRkt();
  const { stderr } = await rkt.fails(["\u001b[31mred"], "unknown command");
  expect(stderr).not.toContain("\u001b");
});

test("completion knows bash only", async () => {
  await using rkt = newRkt();
  const script = await rkt.ok(["completion", "bash"]);
  expect(Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(script) }).exitCode).toBe(0);
  await rkt.fails(["completion"], "shell type is not specified");
  await rkt.fails(["completion", "zsh"], "'zsh' shell is not supported");
  await rkt.fails(["completion", "bash", "x"], "too many arguments, only shell type is expected");
});

test("bash completes commands and flags with the script", async () => {
  await using rkt = newRkt();
  const script = await rkt.ok(["completion", "bash"]);
  const ask = (...words: string[]): string[] => {
    const program = `${script}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
      COMP_LINE='${words.join(" ")}'; COMP_POINT=\${#COMP_LINE}
      function=$(complete -p rkt | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "$function"; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const run = Bun.spawnSync(["bash", "-c", program], {
      env: { PATH: process.env["PATH"] ?? "" },
    });
    return run.stdout
      .toString()
      .trim()
      .split("\n")
      .map((line) => line.trim());
  };
  expect(ask("rkt", "fet")).toEqual(["fetch"]);
  expect(ask("rkt", "run", "--pull-p").join(" ")).toContain("--pull-policy");
});

test("config prints the merged configuration of three directories", async () => {
  await using rkt = newRkt();
  const { mkdirSync, writeFileSync } = await import("node:fs");
  const file = (dir: string, name: string, value: object): void => {
    mkdirSync(`${dir}/auth.d`, { recursive: true });
    writeFileSync(`${dir}/auth.d/${name}`, JSON.stringify({ rktVersion: "v1", ...value }));
  };
  const auth = (user: string, ...domains: string[]): object => ({
    rktKind: "auth",
    domains,
    type: "basic",
    credentials: { user, password: "p" },
  });
  file(rkt.system, "a.json", auth("system", "one.example", "two.example"));
  file(rkt.local, "a.json", auth("local", "two.example"));
  const merged = JSON.parse(await rkt.ok(["config"])) as { stage0: { rktKind: string }[] };
  const entries = merged.stage0.filter((entry) => entry.rktKind === "auth") as unknown as {
    domains: string[];
    credentials: { user: string };
  }[];
  expect(entries.map((each) => [each.domains, each.credentials.user]).sort()).toEqual([
    [["one.example"], "system"],
    [["two.example"], "local"],
  ]);
  expect(await rkt.ok(["config", "--pretty-print=false"])).not.toContain("\t");

  file(rkt.local, "b.json", auth("again", "two.example"));
  await rkt.fails(["config"], 'auth for domain "two.example" is already specified');
  file(rkt.local, "b.json", { rktKind: "auth", domains: [], type: "basic" });
  await rkt.fails(["config"], "no domains specified");
  writeFileSync(`${rkt.local}/auth.d/b.json`, "{");
  const { stderr } = await rkt.fails(["config"], "failed to parse");
  expect(stderr).toContain("b.json");
});

test("the runtime's own environment variables do not reach into rkt", async () => {
  await using rkt = newRkt();
  for (const env of [{ BUN_BE_BUN: "1" }, { BUN_OPTIONS: "--version" }, { BUN_INSPECT: "1" }]) {
    expect(await rkt.ok(["version"], { env })).toStartWith("rkt Version: ");
  }
});
