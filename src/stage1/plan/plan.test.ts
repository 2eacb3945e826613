// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { PodManifest } from "../../appc/index.ts";
import { SECURE } from "../../lib/insecure-options.ts";
import { compileEnterPlan, compilePlan } from "./compile.ts";
import { describePlan } from "./describe.ts";
import { planFacts } from "./facts.ts";
import type { PlanApp, PlanInput } from "./input.ts";
import { type FieldType, OPCODES, type Op, type OpKind, opcodesHeader } from "./opcodes.ts";
import { cleanPath } from "./volumes.ts";
import { decodePlan, encodePlan } from "./wire.ts";

function app(name: string, more: Partial<PlanApp> = {}): PlanApp {
  return {
    runtime: { name, image: { labels: [] }, readOnlyRootFS: false, mounts: [], annotations: [] },
    app: {
      exec: [],
      eventHandlers: [],
      user: "0",
      group: "0",
      supplementaryGIDs: [],
      workingDirectory: "",
      environment: [],
      mountPoints: [],
      ports: [],
      isolators: [],
      userAnnotations: {},
      userLabels: {},
    },
    rootfs: { kind: "overlay", lowers: ["/lower"], upper: "up", work: "work" },
    ids: { uid: 0, gid: 0, supplementaryGids: [] },
    filter: { label: "default", early: true, program: new Uint8Array(16) },
    command: { path: "/bin/app", args: ["--flag", "two words"] },
    environment: [["PATH", "/bin"]],
    ...more,
  } as unknown as PlanApp;
}

function input(apps: readonly PlanApp[], more: Partial<PlanInput> = {}): PlanInput {
  return {
    commandName: "run",
    uuid: "6733c088-a507-4694-aabf-fbbb5cab7a34",
    pod: { volumes: [] } as unknown as PodManifest,
    apps,
    network: "none",
    hostname: "rkt-6733c088",
    interactive: false,
    insecure: SECURE,
    logPrefix: "auto",
    ...more,
  };
}

test("stage1/opcodes.h is what opcodes.ts says", () => {
  const header = readFileSync(join(import.meta.dir, "../../../stage1/opcodes.h"), "utf8");
  expect(header).toBe(opcodesHeader());
});

test("every operation has a code of its own", () => {
  const codes = Object.values(OPCODES).map((op) => op.code);
  expect(new Set(codes).size).toBe(codes.length);
});

describe("golden plans", () => {
  test("one app on an overlay", () => {
    expect(describePlan(compilePlan(input([app("one")])))).toMatchSnapshot();
  });

  test("an app as Docker has it: a stop signal, a working directory to make", () => {
    const base = app("one");
    const docker = app("one", {
      app: { ...base.app, workingDirectory: "/srv/app" },
      stopSignal: 3,
      makeWorkingDirectory: true,
    });
    const ops = describePlan(compilePlan(input([docker]))).split("\n");
    const plain = new Set(describePlan(compilePlan(input([base]))).split("\n"));
    expect(ops.filter((line) => !plain.has(line))).toMatchSnapshot();
  });

  test("two apps, volumes, handlers, isolators, files, host network", () => {
    const first = app("first", {
      rootfs: { kind: "directory", path: "stage1/rootfs/opt/stage2/first/rootfs" },
      ids: { uid: 1000, gid: 1000, supplementaryGids: [4, 5] },
      preStart: { path: "/bin/before", args: [] },
      postStop: { path: "/bin/after", args: ["x"] },
    });
    const second = app("second");
    const pod = {
      volumes: [
        { kind: "host", name: "data", source: "/srv/data", readOnly: true },
        { kind: "empty", name: "scratch", mode: "0700", uid: 7, gid: 8 },
      ],
    } as unknown as PodManifest;
    const apps = [
      {
        ...first,
        runtime: {
          ...first.runtime,
          readOnlyRootFS: true,
          mounts: [{ volume: "data", path: "/data" }],
        },
        app: {
          ...first.app,
          workingDirectory: "/work",
          mountPoints: [
            { name: "scratch", path: "/data/scratch/", readOnly: false },
            { name: "other", path: "/other", readOnly: true },
          ],
          isolators: [
            { name: "os/linux/capabilities-remove-set", value: { set: ["CAP_MKNOD"] } },
            { name: "os/linux/no-new-privileges", value: true },
            { name: "os/linux/oom-score-adj", value: 100 },
          ],
        },
      },
      second,
    ] as unknown as PlanApp[];
    const plan = compilePlan(
      input(apps, {
        pod,
        network: "host",
        cgroup: "/sys/fs/cgroup/machine-rkt.scope",
        files: {
          resolvConf: "/etc/resolv.conf",
          hosts: { path: "stage1/rootfs/etc/hosts-fallback", whenMissing: true },
        },
      }),
    );
    expect(describePlan(plan)).toMatchSnapshot();
    expect(planFacts(plan)).toMatchSnapshot();
    expect(plan.warnings).toEqual([
      'no volume specified for mount point "other" of app "first", implicitly creating an "empty" volume. This volume will be removed when the pod is garbage-collected.',
    ]);
  });

  test("interactive with a terminal, insecure in every way", () => {
    const insecure = { ...SECURE, paths: true, capabilities: true, seccomp: true };
    const plan = compilePlan(input([app("one")], { interactive: { terminal: true }, insecure }));
    expect(describePlan(plan)).toMatchSnapshot();
  });

  test("a device volume closes the pod to other devices", () => {
    const lent = {
      ...app("one"),
      app: {
        ...app("one").app,
        mountPoints: [{ name: "disk", path: "/dev/disk", readOnly: true }],
      },
    } as unknown as PlanApp;
    const volumes = [{ kind: "host", name: "disk", source: "/dev/sda" }];
    const more = {
      pod: { volumes } as unknown as PodManifest,
      cgroup: "/sys/fs/cgroup/machine-rkt.scope",
      devices: new Map([["/dev/sda", { kind: "block", major: 8, minor: 0 } as const]]),
    };
    const policy = (input: PlanInput) =>
      describePlan(compilePlan(input))
        .split("\n")
        .find((line) => line.startsWith("devices"));
    expect(policy(input([lent], more))).toBe("devices program=87 instructions flags=required");
    expect(policy(input([lent], { ...more, devices: undefined }))).toBeUndefined();
    const insecure = { ...SECURE, paths: true };
    expect(policy(input([lent], { ...more, insecure }))).toBeUndefined();
  });

  test("limits in cgroups, sysctls, a security label", () => {
    const limited = app("limited", {
      cgroups: {
        directories: ["/cg/memory/pod.scope/limited", "/cg/cpu/pod.scope/limited"],
        oomFile: "/cg/memory/pod.scope/limited/memory.oom_control",
        memoryLimit: "16Mi",
      },
      label: { module: "apparmor", text: "exec profile" },
    });
    const plan = compilePlan(
      input([limited, app("free")], {
        cgroup: "/cg/unified/pod.scope",
        cgroupDirectories: ["/cg/memory/pod.scope", "/cg/memory/pod.scope/limited"],
        sysctls: [{ path: "kernel/shmmni", value: "77" }],
      }),
    );
    const lines = describePlan(plan).split("\n");
    const changed =
      /^ *(?:app|end|pod|cgroup|sysctl|label|join-cgroups|ready|working-directory|pre-start)\b/;
    expect(lines.filter((line) => changed.test(line))).toMatchSnapshot();
    expect(lines.filter((line) => line.includes("oom-kills"))).toHaveLength(1);
  });

  test("enter joins an app's cgroups and takes its label", () => {
    const plan = compileEnterPlan({
      commandName: "enter",
      app: app("one", { label: { module: "selinux", text: "u:r:t:s0" } }),
      podPid: 100,
      appPid: 102,
      argv: ["sh"],
      terminal: false,
      insecure: SECURE,
      cgroup: "/cg/unified/pod.scope",
      joins: ["/cg/memory/pod.scope/one"],
    });
    expect(describePlan(plan)).toMatchSnapshot();
  });

  test("a user namespace, with volumes and the host's network", () => {
    const one = app("one", { ids: { uid: 1000, gid: 100, supplementaryGids: [] } });
    const mounts = [
      { volume: "data", path: "/data" },
      { volume: "own", path: "/own" },
    ];
    const apps = [{ ...one, runtime: { ...one.runtime, mounts } }] as unknown as PlanApp[];
    const pod = {
      volumes: [
        { kind: "host", name: "data", source: "/srv/data" },
        { kind: "empty", name: "own", mode: "0755", uid: 7, gid: 8 },
      ],
    } as unknown as PodManifest;
    const plan = compilePlan(
      input(apps, {
        pod,
        network: "host",
        files: { hosts: { path: "stage1/rootfs/etc/hosts-fallback", whenMissing: true } },
        userNamespace: { first: 655_360, count: 65_536 },
      }),
    );
    expect(describePlan(plan)).toMatchSnapshot();
  });

  test("without a user namespace no operation is of one", () => {
    const plan = compilePlan(input([app("one")]));
    const kinds: readonly string[] = plan.ops.map((op) => op.kind);
    expect(kinds).not.toContain("userNamespace");
    expect(kinds).not.toContain("scratch");
  });

  test("enter joins an app with its user and limits", () => {
    const plan = compileEnterPlan({
      commandName: "enter",
      app: app("one"),
      podPid: 100,
      appPid: 102,
      argv: ["sh", "-c", "echo 'x'"],
      terminal: true,
      insecure: SECURE,
    });
    expect(describePlan(plan)).toMatchSnapshot();
  });
});

test("no_new_privs is forced only where a filter comes after the power to install it", () => {
  const strict = { label: "strict", early: false, program: new Uint8Array(8) };
  const user = { uid: 1, gid: 1, supplementaryGids: [] };
  const admin = [{ name: "os/linux/capabilities-retain-set", value: { set: ["CAP_SYS_ADMIN"] } }];
  const forced = (more: Partial<PlanApp>, isolators: readonly unknown[] = []): boolean => {
    const one = app("a", more);
    const plan = compilePlan(
      input([{ ...one, app: { ...one.app, isolators } } as unknown as PlanApp]),
    );
    return plan.ops.some((op) => op.kind === "noNewPrivileges");
  };
  expect(forced({})).toBe(false);
  expect(forced({ ids: user })).toBe(false);
  expect(forced({ filter: strict })).toBe(true);
  expect(forced({ filter: strict }, admin)).toBe(false);
  expect(forced({ filter: strict, ids: user }, admin)).toBe(true);
});

describe("refusals", () => {
  const codeOf = (run: () => unknown): unknown => {
    try {
      run();
    } catch (error) {
      return (error as { code: string }).code;
    }
    return undefined;
  };

  test("no app, or a terminal for two", () => {
    expect(codeOf(() => compilePlan(input([])))).toBe("PLAN_INVALID");
    const two = input([app("a"), app("b")], { interactive: { terminal: true } });
    expect(codeOf(() => compilePlan(two))).toBe("PLAN_INVALID");
  });

  test("an id that the user namespace does not have", () => {
    const far = app("a", { ids: { uid: 0, gid: 0, supplementaryGids: [65_536] } });
    const userNamespace = { first: 65_536, count: 65_536 };
    expect(codeOf(() => compilePlan(input([far], { userNamespace })))).toBe("PLAN_INVALID");
  });

  test("a mount of a volume that is not there", () => {
    const one = app("a");
    const runtime = {
      ...one.runtime,
      mounts: [{ volume: "v", path: "/v" }],
    } as unknown as PlanApp["runtime"];
    expect(codeOf(() => compilePlan(input([{ ...one, runtime }])))).toBe("VOLUME_NOT_FOUND");
  });

  test("a volume's mode that is no mode", () => {
    const one = app("a");
    const runtime = {
      ...one.runtime,
      mounts: [{ volume: "v", path: "/v" }],
    } as unknown as PlanApp["runtime"];
    const pod = {
      volumes: [{ kind: "empty", name: "v", mode: "9", uid: 0, gid: 0 }],
    } as unknown as PodManifest;
    expect(() => compilePlan(input([{ ...one, runtime }], { pod }))).toThrow(
      'invalid mode "9" for volume "v"',
    );
  });

  test("a volume in the place of the root", () => {
    const one = app("a");
    const runtime = {
      ...one.runtime,
      mounts: [{ volume: "v", path: "/x/.." }],
    } as unknown as PlanApp["runtime"];
    const pod = {
      volumes: [{ kind: "host", name: "v", source: "/srv" }],
    } as unknown as PodManifest;
    expect(() => compilePlan(input([{ ...one, runtime }], { pod }))).toThrow(
      'cannot mount a volume at "/x/.."',
    );
  });

  test("a NUL byte in a word", () => {
    const plan = compilePlan(input([app("a", { command: { path: "/a", args: ["x\0y"] } })]));
    expect(codeOf(() => encodePlan(plan))).toBe("PLAN_INVALID");
  });

  test("a plan that is too large", () => {
    const args = Array.from({ length: 20 }, () => "x".repeat(1024 * 1024));
    const plan = compilePlan(input([app("a", { command: { path: "/a", args } })]));
    expect(codeOf(() => encodePlan(plan))).toBe("PLAN_TOO_LARGE");
  });
});

describe("properties", () => {
  const text = fc.string({ unit: "grapheme" }).map((s) => s.replaceAll("\0", ""));
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const value: Readonly<Record<FieldType, fc.Arbitrary<unknown>>> = {
    u32,
    u64: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
    string: text,
    strings: fc.array(text, { maxLength: 5 }),
    numbers: fc.array(u32, { maxLength: 5 }),
    bytes: fc.uint8Array({ maxLength: 40 }),
  };
  const op = fc
    .constantFrom(...(Object.keys(OPCODES) as OpKind[]))
    .chain((kind) =>
      fc
        .record(
          Object.fromEntries(
            Object.entries(OPCODES[kind].fields).map(([f, type]) => [f, value[type]]),
          ),
        )
        .map((fields) => ({ ...fields, kind }) as unknown as Op),
    );

  test("what is encoded is decoded again", () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 20 }), (ops) => {
        expect(decodePlan(encodePlan({ ops, warnings: [] }))).toEqual(ops);
      }),
    );
  });

  test("a cut plan is never decoded", () => {
    const bytes = encodePlan(compilePlan(input([app("a")])));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), (cut) => {
        expect(() => decodePlan(bytes.slice(0, cut))).toThrow();
      }),
    );
  });

  test("a cleaned path is absolute and has no dots", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b", "..", ".", "")), (parts) => {
        const path = cleanPath(parts.join("/"));
        expect(path).toMatch(/^\/$|^(?:\/[ab]+)+$/);
        expect(cleanPath(path)).toBe(path);
      }),
    );
  });
});
