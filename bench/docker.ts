// SPDX-License-Identifier: Apache-2.0
// A Docker daemon of the benchmark's own: Debian's packages unpacked, not installed, because installing them enables and
// starts a daemon that changes the machine's firewall. It lives in namespaces of its own and leaves nothing behind.
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { must } from "./sample.ts";
import type { World } from "./world.ts";

const UNPACKED = resolve("build/bench/docker");
const PATIENCE_MS = 30_000;

export interface Docker {
  /** The client's command line. */
  readonly command: readonly string[];
  readonly stop: () => Promise<void>;
}

function unpack(): void {
  if (existsSync(join(UNPACKED, "usr/sbin/dockerd"))) return;
  const files = `${UNPACKED}.debs`;
  must(["rm", "-rf", files, UNPACKED]);
  mkdirSync(files, { recursive: true });
  // Not root's sandbox user `_apt`, who may not write here.
  const get = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"];
  must([...get, "docker.io", "containerd"], { cwd: files });
  const target = `${UNPACKED}.new`;
  for (const name of readdirSync(files)) must(["dpkg-deb", "-x", join(files, name), target]);
  must(["mv", target, UNPACKED]);
  must(["rm", "-rf", files]);
}

/** Directories named after us in each hierarchy; what is in them are directories that Docker left. */
function removeCgroups(name: string): void {
  const root = "/sys/fs/cgroup";
  for (const directory of ["", ...readdirSync(root)].map((each) => join(root, each, name))) {
    if (!existsSync(directory)) continue;
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) rmdirSync(join(directory, entry.name));
    }
    rmdirSync(directory);
  }
}

/** Throws, with what the daemon said last, when it does not come up or runs no container. */
export async function startDocker(world: World): Promise<Docker> {
  unpack();
  const home = world.dir.join("docker");
  const at = (name: string): string => join(home, name);
  mkdirSync(at("client"), { recursive: true });
  // Else the daemon makes a key in /etc.
  writeFileSync(at("daemon.json"), JSON.stringify({ "deprecated-key-path": at("key.json") }));
  const cgroup = `rkt-bench-docker-${process.pid}`;
  const socket = `unix://${at("docker.sock")}`;
  const flags = [
    ...[`--config-file=${at("daemon.json")}`, `--data-root=${at("data")}`],
    ...[`--exec-root=${at("exec")}`, `--pidfile=${at("pid")}`, `--host=${socket}`],
    ...[`--cgroup-parent=/${cgroup}`, "--exec-opt=native.cgroupdriver=cgroupfs"],
    ...["--iptables=true", "--oom-score-adjust=0", "--storage-driver=overlay2"],
  ];
  // containerd and its shims write to /run and /opt, wherever the daemon's own directories are.
  const script =
    'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /opt && ip link set lo up && exec dockerd "$@"';
  const daemon = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig=TERM", "unshare", "--mount", "--net", "--propagation=private"],
      ...["sh", "-c", script, "sh", ...flags],
    ],
    {
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(at("log")),
      env: {
        ...process.env,
        PATH: `${UNPACKED}/usr/sbin:${UNPACKED}/usr/bin:${process.env["PATH"]}`,
      },
    },
  );
  const stop = async (): Promise<void> => {
    daemon.kill("SIGTERM");
    await daemon.exited;
    removeCgroups(cgroup);
  };
  const client = [`${UNPACKED}/usr/bin/docker`, `--config=${at("client")}`, `--host=${socket}`];
  try {
    const until = performance.now() + PATIENCE_MS;
    while (Bun.spawnSync([...client, "version"]).exitCode !== 0) {
      if (daemon.exitCode !== null || performance.now() > until) {
        const log = (await Bun.file(at("log")).text()).trim().split("\n").at(-1);
        throw new Error(`dockerd does not come up: ${log}`);
      }
      await Bun.sleep(100);
    }
    const archive = world.dir.join("rootfs-docker.tar");
    must(["tar", "-cf", archive, "-C", `${world.bundle}/rootfs`, "."]);
    must([...client, "import", archive, "bench"]);
    must([...client, "run", "--rm", "bench", "/bin/true"]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { command: client, stop };
}
