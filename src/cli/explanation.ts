// SPDX-License-Identifier: Apache-2.0
// What `rkt explain` found out, as data (its JSON) and as text for people. Pure.
import { formatTime } from "../lib/humanize.ts";
import { stripControl } from "../lib/text.ts";
import type { MountFacts } from "../stage1/plan/facts.ts";
import type { ImageVerification } from "../store/index.ts";

export interface ExplainedImage {
  readonly id: string;
  readonly name: string;
  readonly version: string | undefined;
  readonly verification: ImageVerification;
}

type ExplainedMount = Omit<MountFacts, "readOnly"> & { readonly read_only: boolean };

interface Limit {
  readonly name: string;
  readonly value: unknown;
}

export interface AppExplanation {
  readonly name: string;
  readonly image: ExplainedImage;
  readonly dependencies: readonly ExplainedImage[];
  readonly user: {
    readonly uid: number;
    readonly gid: number;
    readonly supplementary_gids: readonly number[];
  };
  readonly exec: readonly string[];
  readonly pre_start: readonly string[] | undefined;
  readonly post_stop: readonly string[] | undefined;
  readonly working_directory: string;
  readonly environment: readonly string[];
  readonly read_only_rootfs: boolean;
  readonly mounts: readonly ExplainedMount[];
  readonly capabilities: "all" | readonly string[];
  readonly no_new_privileges: boolean;
  /** null: every system call is allowed. */
  readonly seccomp: string | null;
  readonly security_label: string | undefined;
  readonly limits: readonly Limit[];
  readonly hidden_paths: readonly string[];
  readonly read_only_paths: readonly string[];
}

export interface Explanation {
  readonly apps: readonly AppExplanation[];
  readonly network: string;
  readonly hostname: string;
  readonly namespaces: readonly string[];
  readonly limits: readonly Limit[];
  readonly warnings: readonly string[];
  readonly plan: readonly string[] | undefined;
}

type Line = readonly [label: string, ...values: readonly string[]];

const LABEL = 16;

export function explanationText(explanation: Explanation): string {
  const { apps, warnings, plan } = explanation;
  const blocks = [
    ...apps.map((app) => block(`app "${app.name}"`, appLines(app))),
    block("pod", podLines(explanation)),
  ];
  if (warnings.length > 0) blocks.push(list("warnings", warnings));
  if (plan !== undefined) blocks.push(list("plan", plan));
  return blocks.join("\n");
}

const list = (title: string, lines: readonly string[]): string =>
  `${[title, ...lines.map((line) => `  ${stripControl(line)}`)].join("\n")}\n`;

/** A label, and its values below each other. */
function block(title: string, lines: readonly Line[]): string {
  const text = [title];
  for (const [label, ...values] of lines) {
    values.forEach((value, i) => {
      text.push(`  ${(i === 0 ? `${label}:` : "").padEnd(LABEL)} ${stripControl(value)}`);
    });
  }
  return `${text.join("\n")}\n`;
}

function appLines(app: AppExplanation): Line[] {
  const { uid, gid, supplementary_gids: groups } = app.user;
  return [
    ["image", imageName(app.image), app.image.id],
    ["verified by", ...verifier(app.image.verification)],
    ...app.dependencies.flatMap((image): Line[] => [
      ["depends on", imageName(image), image.id],
      ["verified by", ...verifier(image.verification)],
    ]),
    ["user", `uid ${uid}, gid ${gid}${groups.length === 0 ? "" : `, groups ${groups.join(" ")}`}`],
    ["runs", words(app.exec)],
    ["before", ...(app.pre_start === undefined ? [] : [words(app.pre_start)])],
    ["after", ...(app.post_stop === undefined ? [] : [words(app.post_stop)])],
    ["in", app.working_directory],
    ["environment", ...app.environment],
    ["root", app.read_only_rootfs ? "read-only" : "writable, and gone with the pod"],
    ["mounts", ...app.mounts.map(mountText)],
    [
      "capabilities",
      app.capabilities === "all"
        ? "all"
        : app.capabilities.join(" ").replaceAll("CAP_", "") || "none",
    ],
    [
      "privileges",
      app.no_new_privileges ? "none that are new" : "as its set-user-ID programs give",
    ],
    ["system calls", app.seccomp ?? "all"],
    ["label", ...(app.security_label === undefined ? [] : [app.security_label])],
    ["limits", ...limitTexts(app.limits)],
    ["hidden", app.hidden_paths.join(" ") || "nothing"],
    ["read-only", app.read_only_paths.join(" ") || "nothing"],
  ];
}

const podLines = ({ network, hostname, namespaces, limits }: Explanation): Line[] => [
  ["network", network],
  ["host name", hostname],
  ["namespaces", namespaces.join(" ")],
  ["limits", ...limitTexts(limits)],
];

const imageName = ({ name, version }: ExplainedImage): string =>
  version === undefined ? name : `${name}:${version}`;

/** Who vouched for an image, in lines. */
export function verifier(verification: ImageVerification): string[] {
  switch (verification.kind) {
    case "openpgp": {
      const { fingerprint, identities, prefix, verifiedAt } = verification;
      const when = formatTime(new Date(verifiedAt));
      const trusted = prefix === "" ? "every image" : prefix;
      return [`key ${fingerprint}`, ...identities, `trusted for ${trusted}, at ${when}`];
    }
    case "sigstore": {
      const { key, identity, issuer, prefix, verifiedAt, digest, signedReference } = verification;
      const logged = verification.logIndex;
      return [
        key === undefined ? `${identity} by ${issuer}` : `sigstore key ${key}`,
        `signed ${digest}${signedReference === undefined ? "" : ` as ${signedReference}`}`,
        ...(logged === undefined ? [] : [`in the transparency log at ${logged}`]),
        ...(verification.attestations ?? []).map((each) => `with ${each.predicateType}`),
        `trusted for ${prefix === "" ? "every image" : prefix}, at ${formatTime(new Date(verifiedAt))}`,
      ];
    }
    case "policy":
      return [
        `nobody, which the trust policy for ${verification.prefix === "" ? "every image" : verification.prefix} allows, at ${formatTime(new Date(verification.acceptedAt))}`,
      ];
    case "unverified":
      return [
        `nobody: ${verification.reason}, at ${formatTime(new Date(verification.acceptedAt))}`,
      ];
    case "unknown":
      return ["unknown"];
  }
}

function mountText(mount: ExplainedMount): string {
  const what =
    mount.kind === "rkt"
      ? `${mount.source ?? "a file"} from rkt`
      : mount.kind === "empty"
        ? `empty volume "${mount.volume}"`
        : `${mount.source} of the host, volume "${mount.volume}"`;
  const flags = [
    mount.read_only ? "read-only" : "",
    mount.recursive || mount.kind !== "host" ? "" : "not recursive",
  ];
  return [`${mount.target}: ${what}`, ...flags.filter((flag) => flag !== "")].join(", ");
}

const limitTexts = (limits: readonly Limit[]): string[] =>
  limits.length === 0 ? ["none"] : limits.map(({ name, value }) => `${name} ${limitText(value)}`);

/** What an isolator sets, in words; JSON where it has more than names and values. */
function limitText(value: unknown): string {
  const plain: unknown = JSON.parse(JSON.stringify(value));
  if (typeof plain === "string") return plain;
  if (typeof plain !== "object" || plain === null || Array.isArray(plain)) {
    return JSON.stringify(plain);
  }
  const { default: _, ...set } = plain as Record<string, unknown>;
  // Manifests repeat the limit as the request where only a limit is meant.
  if (set["request"] === set["limit"]) delete set["request"];
  return Object.entries(set)
    .map(([name, one]) => `${name} ${typeof one === "string" ? one : JSON.stringify(one)}`)
    .join(", ");
}

/** As a shell would need them. */
const words = (argv: readonly string[]): string =>
  argv
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");
