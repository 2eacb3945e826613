// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { checkSysctls } from "./sysctl.ts";

const one = (name: string, value = "1", network?: "none" | "host") =>
  checkSysctls([[name, value]], network);

test("names become paths below /proc/sys", () => {
  expect(one("net.ipv4.ip_forward")).toEqual([{ path: "net/ipv4/ip_forward", value: "1" }]);
  expect(one("net.ipv4.conf.eth0/5.forwarding")[0]?.path).toBe("net/ipv4/conf/eth0.5/forwarding");
  for (const name of [
    "kernel.shm_rmid_forced",
    "kernel.msgmax",
    "kernel.sem",
    "fs.mqueue.msg_max",
  ]) {
    expect(one(name)[0]?.path).toBe(name.replaceAll(".", "/"));
  }
});

test("what belongs to the machine is refused", () => {
  const names = [
    ...[
      "vm.overcommit_memory",
      "kernel.core_pattern",
      "kernel.semaphore",
      "kernel.shm",
      "fs.file-max",
    ],
    ...[
      "net",
      "net.",
      "net..x",
      "net.//.core",
      "net.ipv4.../../../kernel/core_pattern",
      "",
      "net/ipv4",
    ],
  ];
  for (const name of names) expect(() => one(name)).toThrow("it belongs to the whole machine");
});

test("the network's need a network of the pod's own", () => {
  expect(() => one("net.core.somaxconn", "1", "host")).toThrow("the pod uses the host's network");
  expect(one("kernel.shmmax", "1", "host")).toHaveLength(1);
  expect(one("net.core.somaxconn", "1", "none")).toHaveLength(1);
});

test("a value is one line", () => {
  expect(one("kernel.sem", "32000 1024000000 500 32000")[0]?.value).toContain(" ");
  expect(() => one("kernel.sem", "1\n2")).toThrow("its value is not one line");
});
