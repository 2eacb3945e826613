// SPDX-License-Identifier: Apache-2.0
// A real image, large enough to matter: the essential packages of the Debian system that the tests run on with all they
// depend on, in a layer as umoci makes it, and a layer that takes something away. It needs no network.
import { lstatSync, mkdirSync, writeFileSync } from "node:fs";

/** Directories that are links into /usr on merged systems, where packages still name them. */
const MERGED = /^\/(bin|sbin|lib|lib32|lib64|libx32)\//;
/** What is large and never looked at; and directories that change while they are read. */
const LEFT_OUT =
  /^\/usr\/share\/(doc|man|locale|info|lintian)\/.|^\/(dev|proc|run|sys|tmp|var\/tmp)$/;

/** Writes the layout `DIRECTORY/debian`, with one image that is named `base`. */
export function writeDebian(directory: string): void {
  const files = new Set<string>();
  const isMerged = lstatSync("/bin").isSymbolicLink();
  for (const line of output("dpkg-query", "-L", ...essentialPackages()).split("\n")) {
    const path = isMerged ? line.replace(MERGED, "/usr/$1/") : line;
    if (!path.startsWith("/") || path === "/." || LEFT_OUT.test(path)) continue;
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) files.add(path.slice(1));
  }
  writeFileSync(`${directory}/files`, [...files].sort().join("\n"));
  const tar = ["tar", "--no-recursion", "--numeric-owner", "--xattrs", "-C", "/"];
  output(...tar, "-T", `${directory}/files`, "-cf", `${directory}/layer.tar`);
  // What base-passwd's own script makes of them.
  mkdirSync(`${directory}/etc`, { recursive: true });
  for (const name of ["passwd", "group"])
    output("cp", `/usr/share/base-passwd/${name}.master`, `${directory}/etc/${name}`);
  const image = ["--image", `${directory}/debian:base`];
  output("umoci", "init", "--layout", `${directory}/debian`);
  output("umoci", "new", ...image);
  output("umoci", "raw", "add-layer", ...image, `${directory}/layer.tar`);
  output("umoci", "insert", ...image, `${directory}/etc/passwd`, "/etc/passwd");
  output("umoci", "insert", ...image, `${directory}/etc/group`, "/etc/group");
  output("umoci", "insert", "--whiteout", ...image, "/usr/share/perl5");
  const config = ["--config.cmd", "bash", "--config.workingdir", "/srv/work"];
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  output("umoci", "config", ...image, ...config, "--config.env", path);
}

function essentialPackages(): readonly string[] {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills it in.
  const format = "${Package}\t${Essential}\t${Pre-Depends}, ${Depends}\n";
  const depends = new Map<string, string>();
  const wanted: string[] = [];
  for (const line of output("dpkg-query", "-W", "-f", format).split("\n")) {
    const [name = "", essential, list = ""] = line.split("\t");
    depends.set(name, list);
    if (essential === "yes") wanted.push(name);
  }
  const chosen = new Set<string>();
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (chosen.has(name)) continue;
    chosen.add(name);
    for (const dependency of depends.get(name)?.split(",") ?? []) {
      const names = dependency.split("|").map((one) => one.trim().split(/[ :(]/)[0] ?? "");
      const installed = names.find((one) => one !== "" && depends.has(one));
      if (installed !== undefined) wanted.push(installed);
    }
  }
  return [...chosen];
}

function output(...command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { maxBuffer: 64 << 20 });
  if (exitCode !== 0) throw new Error(`${command.slice(0, 3).join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}
