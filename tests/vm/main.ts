// SPDX-License-Identifier: Apache-2.0
// `make test-vm`: boots Debian with systemd and cgroup v2 in qemu, without KVM, and runs tests/vm/inside there with
// dist/rkt. What the second serial line says is the result; the first one, the console, is in build/vm/console.log.
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { signFile, trustSigner } from "../support/signed.ts";
import { tempDir } from "../support/temp.ts";

const OUT = "build/vm";
/** The boot takes 10 to 20 s, each test a second or two. */
const PATIENCE_MS = 300_000;

function run(...command: readonly string[]): void {
  const child = Bun.spawnSync([...command], { stdout: "inherit", stderr: "inherit" });
  if (child.exitCode !== 0) throw new Error(`${command[0]}: status ${child.exitCode}`);
}

/** The second disk: the executable, the tests, a signed image in the store's way in, room for pods. */
async function makeDisk(only: readonly string[]): Promise<string> {
  using dir = tempDir("rkt-vm");
  copyFileSync("dist/rkt", dir.join("rkt"));
  for (const name of readdirSync("tests/vm/inside")) {
    const wanted = !name.endsWith(".test.sh") || only.some((word) => name.startsWith(word));
    if (wanted || only.length === 0) copyFileSync(`tests/vm/inside/${name}`, dir.join(name));
  }
  for (const name of ["config", "system", "data"]) mkdirSync(dir.join(name));
  const confined = {
    isolators: [{ name: "os/linux/apparmor-profile", value: { profile: "rkt-test" } }],
  };
  const images = { busybox: {}, confined: { name: "example.com/confined", app: confined } };
  for (const [name, image] of Object.entries(images)) {
    writeFileSync(dir.join(`${name}.aci`), busyboxAci(image));
    await signFile(dir.join(`${name}.aci`));
  }
  await trustSigner(dir.join("config"));
  for (const name of ["rkt", "run"]) chmodSync(dir.join(name), 0o755);
  const disk = `${OUT}/test.img`;
  run("truncate", "-s", "0", disk);
  run("truncate", "-s", "512M", disk);
  run("mkfs.ext4", "-q", "-F", "-d", dir.path, disk);
  return disk;
}

const drive = (file: string, id: string): string[] => [
  "-drive",
  `file=${file},format=raw,if=none,id=${id},snapshot=on`,
  "-device",
  `virtio-blk-pci,drive=${id}`,
];

function startMachine(disk: string) {
  const kernel =
    "root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=0 mitigations=off";
  return Bun.spawn(
    [
      "qemu-system-x86_64",
      ...["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
      ...["-nodefaults", "-display", "none", "-no-reboot", "-nic", "none"],
      ...["-serial", `file:${OUT}/console.log`, "-serial", "stdio"],
      ...["-kernel", `${OUT}/vmlinuz`, "-initrd", `${OUT}/initrd`, "-append", kernel],
      ...drive(`${OUT}/root.img`, "root"),
      ...drive(disk, "test"),
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: PATIENCE_MS },
  );
}

async function main(): Promise<number> {
  run("tests/vm/make-root");
  // ONLY=cgroup,stats: these files, and the one that fetches the images.
  const words = (process.argv[2] ?? "").split(",").filter((word) => word !== "");
  const machine = startMachine(await makeDisk(words.length === 0 ? [] : ["00", ...words]));
  const count = { passed: 0, failed: 0, skipped: 0 };
  let complete = false;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of machine.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).replaceAll("\r", "").split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("ok ")) count.passed++;
      else if (line.startsWith("skip ")) count.skipped++;
      else if (line.startsWith("failed ")) count.failed++;
      if (line === "done") complete = true;
      else console.log(line);
    }
  }
  await machine.exited;
  if (!complete) {
    console.log(`failed: the machine ended before its tests did; see ${OUT}/console.log`);
    count.failed++;
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0 && count.passed > 0 ? 0 : 1;
}

process.exit(await main());
