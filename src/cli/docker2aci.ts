// SPDX-License-Identifier: Apache-2.0
// docker2aci, the tool: Docker images to ACI files (tools.md §3.1). It is called by its own name or as
// `rkt tool docker2aci`, and needs neither root nor a store.

import { AC_VERSION, type ImageManifest } from "../appc/index.ts";
import { convert } from "../build/docker2aci/convert.ts";
import { ConversionError } from "../build/docker2aci/errors.ts";
import { type DockerImage, parseImageName } from "../build/docker2aci/image.ts";
import { openSavedImage } from "../build/docker2aci/saved-file.ts";
import { RktError } from "../lib/errors.ts";
import { SECURE } from "../lib/insecure-options.ts";
import { type Reporter, silentReporter } from "../lib/reporter.ts";
import { quote, stripControl } from "../lib/text.ts";
import { VERSION } from "../lib/version.ts";
import type { Host } from "./context.ts";
import { goFlagUsage, parseGoFlags } from "./go-flags.ts";
import { OutputClosed } from "./output-closed.ts";
import { formatError } from "./report.ts";

const FLAGS = {
  compression: {
    default: "gzip",
    usage: "Type of compression to use; allowed values: gzip, none",
  },
  debug: { default: false, usage: "Enables debug messages" },
  image: {
    default: "",
    usage:
      "When converting a local file, it selects a particular image to convert. Format: IMAGE_NAME[:TAG]",
  },
  "insecure-allow-http": {
    default: false,
    usage: "Uses unencrypted connections when fetching images",
  },
  "insecure-skip-verify": {
    default: false,
    usage: "Don't verify certificates when fetching images",
  },
  nosquash: { default: false, usage: "Don't squash layers and output every layer as ACI" },
  version: { default: false, usage: "Print version" },
} as const;

const USAGE = `Usage of docker2aci:
docker2aci [-debug] [-nosquash] [-compression=(gzip|none)] IMAGE
  Where IMAGE is
    [-image=IMAGE_NAME[:TAG]] FILEPATH
  or
    docker://[REGISTRYURL/]IMAGE_NAME[:TAG]
Flags:
${goFlagUsage(FLAGS)}`;

const EXIT_CONVERSION = 1;
const EXIT_USAGE = 2;
/** As if SIGPIPE had ended us. */
const EXIT_OUTPUT_CLOSED = 141;

type Flags = Extract<ReturnType<typeof parseGoFlags<typeof FLAGS>>, { kind: "parsed" }>["values"];

/** The exit status: 0, 1 when there is no ACI, 2 for words that are none of its own. */
export async function runDocker2aci(host: Host): Promise<number> {
  const parsed = parseGoFlags(host.args, FLAGS);
  if (parsed.kind !== "parsed") {
    if (parsed.kind === "wrong") host.write(2, `${parsed.sentence}\n`);
    host.write(2, USAGE);
    return parsed.kind === "help" ? 0 : EXIT_USAGE;
  }
  const { values: flags, args } = parsed;
  if (flags.version) {
    host.write(1, `docker2aci version ${VERSION}\nappc version ${AC_VERSION}\n`);
    return 0;
  }
  const [image] = args;
  if (image === undefined || args.length > 1) {
    host.write(2, USAGE);
    return EXIT_USAGE;
  }
  try {
    await run(image, flags, host);
    return 0;
  } catch (error) {
    if (error instanceof OutputClosed) return EXIT_OUTPUT_CLOSED;
    if (!(error instanceof RktError)) throw error;
    host.write(2, sentence(error, flags.debug));
    return EXIT_CONVERSION;
  }
}

async function run(argument: string, flags: Flags, host: Host): Promise<void> {
  const { compression } = flags;
  if (compression !== "gzip" && compression !== "none") {
    throw new UsageProblem(
      "CONVERSION_INPUT",
      `unknown compression method: ${stripControl(compression)}`,
    );
  }
  const isRemote = argument.startsWith("docker://");
  if (isRemote && flags.image !== "") {
    throw new UsageProblem("CONVERSION_SELECTION", "flag --image works only with files.");
  }
  const report = reporter(host, flags.debug);
  const opened = isRemote
    ? await openRemote(argument, { flags, host, report })
    : await openSavedImage(argument, flags.image, report);
  try {
    const { files, manifest } = await convert(opened.image, {
      squash: !flags.nosquash,
      gzip: compression === "gzip",
      outputDir: ".",
      report,
    });
    host.write(1, summary(files, manifest));
  } finally {
    opened.close();
  }
}

interface Opened {
  readonly image: DockerImage;
  close(): void;
}

/** Credentials are Docker's own; rkt's configuration does not count for this tool. */
async function openRemote(
  argument: string,
  {
    flags,
    host,
    report,
  }: { readonly flags: Flags; readonly host: Host; readonly report: Reporter },
): Promise<Opened> {
  const { registrySource } = await import("../fetch/registry/source.ts");
  const { openRemoteImage } = await import("../build/docker2aci/remote.ts");
  const { reference, ...name } = parseImageName(argument.slice("docker://".length));
  const source = registrySource(reference, {
    config: {
      auth: new Map(),
      dockerAuth: new Map(),
      paths: {},
      stage1: {},
      trustPolicies: new Map(),
    },
    insecure: {
      ...SECURE,
      tls: flags["insecure-skip-verify"],
      http: flags["insecure-allow-http"],
    },
    version: VERSION,
    report,
    env: host.env,
  });
  return { image: await openRemoteImage(source, name, report), close: () => void source.close() };
}

/** What is wrong with the words, not with the image. */
class UsageProblem extends ConversionError {}

function sentence(error: RktError, debug: boolean): string {
  const text = formatError(error, { commandName: "Error", debug, json: false });
  return error instanceof UsageProblem
    ? text
    : text.replace("Error: ", "Error: conversion error: ");
}

function reporter(host: Host, debug: boolean): Reporter {
  const line = (_module: string, text: string) => host.write(2, `${text}\n`);
  return { ...silentReporter, line, debug: debug ? line : silentReporter.debug };
}

function summary(files: readonly string[], { app }: ImageManifest): string {
  const volumes = (app?.mountPoints ?? []).map(
    ({ name, path, readOnly }) =>
      `\tname: ${quote(name)}, path: ${quote(path)}, readOnly: ${readOnly}\n`,
  );
  const ports = (app?.ports ?? []).map(
    ({ name, protocol, port, count, socketActivated }) =>
      `\tname: ${quote(name)}, protocol: ${quote(protocol)}, port: ${port}, count: ${count}, socketActivated: ${socketActivated}\n`,
  );
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? "" : `\n${title}:\n${lines.join("")}`;
  return [
    section("Converted volumes", volumes),
    section("Converted ports", ports),
    section(
      "Generated ACI(s)",
      files.map((file) => `${file}\n`),
    ),
  ].join("");
}
