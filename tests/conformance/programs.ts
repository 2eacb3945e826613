// SPDX-License-Identifier: Apache-2.0
// The App Container specification's own programs: the validator, which says from inside a pod what is wrong with its
// executor, and actool. They are built outside of the tree, from Debian's source package; none of it is ours.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { HOST_LABELS } from "../support/aci.ts";
import type { TempDir } from "../support/temp.ts";

const PACKAGES = ["github.com/appc/spec/ace", "github.com/appc/spec/actool"];

export interface Programs {
  readonly validator: string;
  readonly actool: string;
}

/** Go's own cache makes the second build a short one. */
export function buildPrograms(dir: TempDir): Programs {
  const build = Bun.spawnSync(["go", "build", "-trimpath", "-o", `${dir.path}/`, ...PACKAGES], {
    cwd: dir.path,
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"] ?? dir.path,
      GO111MODULE: "off",
      GOPATH: "/usr/share/gocode",
      // Static, so that an image needs nothing else.
      CGO_ENABLED: "0",
    },
  });
  if (build.exitCode !== 0) throw new Error(`go build: ${build.stderr}`);
  return { validator: dir.join("ace"), actool: dir.join("actool") };
}

export function actool(programs: Programs, ...args: readonly string[]): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([programs.actool, ...args]);
  if (exitCode !== 0) throw new Error(`actool ${args.join(" ")}: ${stdout}${stderr}`);
}

/** Each program of the pod, as the validator calls it. */
const MODES = ["main", "sidekick"] as const;

/**
 * The validator's two images, made by actool. What their manifests say is what the validator asks for: a directory to
 * work in, a variable, a volume for both, handlers; the limit and the annotations are there to be carried through.
 */
export function makeImages(programs: Programs, dir: TempDir): string[] {
  return MODES.map((mode) => {
    const layout = dir.join(mode);
    mkdirSync(`${layout}/rootfs/opt/acvalidator`, { recursive: true });
    copyFileSync(programs.validator, `${layout}/rootfs/ace-validator`);
    writeFileSync(`${layout}/manifest`, JSON.stringify(manifest(mode)));
    const image = dir.join(`${mode}.aci`);
    actool(programs, "build", "--no-compression", "--owner-root", layout, image);
    return image;
  });
}

function manifest(mode: (typeof MODES)[number]): object {
  const validate = (name: string) => ["/ace-validator", name];
  const common = {
    exec: validate(mode),
    user: "0",
    group: "0",
    mountPoints: [{ name: "database", path: "/db", readOnly: false }],
  };
  const main = {
    ...common,
    workingDirectory: "/opt/acvalidator",
    environment: [{ name: "IN_ACE_VALIDATOR", value: "correct" }],
    eventHandlers: [
      { name: "pre-start", exec: validate("prestart") },
      { name: "post-stop", exec: validate("poststop") },
    ],
    ports: [{ name: "www", protocol: "tcp", port: 80 }],
    isolators: [{ name: "resource/memory", value: { limit: "1G" } }],
  };
  return {
    acKind: "ImageManifest",
    acVersion: "0.8.11",
    name: `coreos.com/ace-validator-${mode}`,
    labels: [{ name: "version", value: "0.8.11" }, ...HOST_LABELS],
    app: mode === "main" ? main : common,
    annotations: [
      { name: "created", value: "2026-01-01T00:00:00Z" },
      { name: "authors", value: "A Test <test@example.com>" },
      { name: "homepage", value: "https://example.com" },
      { name: "lorem", value: "ipsum" },
    ],
  };
}
