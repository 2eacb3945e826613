// SPDX-License-Identifier: Apache-2.0
// Every command of rkt, as data. Parsing, help, completion, man pages and the option tables in the
// documentation read this table; a command's code is loaded when it is chosen (rkt-cli Appendix A).
import { parseGoBool } from "../lib/go-bool.ts";
import { once } from "../lib/once.ts";
import { type Command, type CommandTable, command } from "./command.ts";
import { run as help } from "./commands/help.ts";
import { run as version } from "./commands/version.ts";
import * as sets from "./flag-sets.ts";
import { own } from "./flags.ts";

/** The commands that do work, in two pieces instead of forty (see there). */
const runtime = () => import("./runtime.ts");
/** Also for the parser of image arguments; asked for several times in a start, and the loader is slow to answer. */
export const startRuntime = once(() => import("./start-runtime.ts"));

const EXPERIMENT_APP = "RKT_EXPERIMENT_APP";
const EXPERIMENT_ATTACH = "RKT_EXPERIMENT_ATTACH";

const IMAGE_ARGUMENTS = `Image arguments are IMAGE [--FLAG ...] [-- ARGUMENT ... ---]: the flags after an image and the
arguments between -- and --- belong to the app of that image.`;

const IMAGE_REFERENCE = `IMAGE is a name (example.com/app:1.0,os=linux), a path or a URL that ends in .aci, or a hash in the
local store.`;

const STORED_IMAGE =
  "IMAGE is a hash, of which the beginning is enough, or a name of an image in the local store.";

const POD = "UUID may be shortened as long as it stays unambiguous.";

const DECLARATIONS: Readonly<Record<string, (name: string) => Command>> = {
  "api-service": (name) =>
    command({
      name,
      brief: "Run API service (experimental)",
      flags: sets.apiServiceFlags(),
      unavailable: true,
      hidden: true,
    }),
  app: (name) =>
    command({
      name,
      brief: "Operate on apps in a pod",
      description: "Operates on the apps of a pod.",
      args: "[COMMAND]",
      group: true,
    }),
  "app add": (name) =>
    command({
      name,
      brief: "Add an app to a pod",
      args: "UUID IMAGEID [-- image-args... [---]]",
      flags: sets.noFlags(),
      images: { flags: sets.appAddImageFlags(), appArguments: true },
      interspersed: false,
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  "app exec": (name) =>
    command({
      name,
      brief: "Execute a command in an app's namespaces",
      description: `Does what rkt enter does: runs a command inside a running app, with no more privilege than the app has.
Without a command it is /bin/bash. A pod with several apps needs --app.
${POD}`,
      args: "[--app=APPNAME] UUID [CMD [ARGS ...]]",
      flags: sets.enterFlags(),
      arity: { min: 1, max: Number.POSITIVE_INFINITY },
      root: true,
      interspersed: false,
      completes: "pods",
      seeAlso: ["enter", "list"],
      load: async () => (await runtime()).enter,
    }),
  "app list": (name) =>
    command({
      name,
      brief: "List the apps of a pod",
      args: "UUID",
      flags: sets.appListFlags(),
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  "app rm": (name) =>
    command({
      name,
      brief: "Remove an app from a pod",
      args: "UUID --app=NAME",
      flags: sets.enterFlags(),
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  "app sandbox": (name) =>
    command({
      name,
      brief: "Create and run an empty pod",
      flags: sets.appSandboxFlags(),
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  "app start": (name) =>
    command({
      name,
      brief: "Start an app in a pod",
      args: "UUID --app=NAME",
      flags: sets.enterFlags(),
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  "app status": (name) =>
    command({
      name,
      brief: "Show the status of an app",
      args: "UUID --app=NAME",
      flags: sets.appStatusFlags(),
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  "app stop": (name) =>
    command({
      name,
      brief: "Stop an app in a pod",
      args: "UUID --app=NAME",
      flags: sets.enterFlags(),
      experiment: EXPERIMENT_APP,
      unavailable: true,
      hidden: true,
    }),
  attach: (name) =>
    command({
      name,
      brief: "Attach to an app running within a rkt pod",
      args: "[--app=APPNAME] [--mode=MODE] UUID",
      flags: sets.attachFlags(),
      root: true,
      experiment: EXPERIMENT_ATTACH,
      unavailable: true,
      hidden: true,
    }),
  "cat-manifest": (name) =>
    command({
      name,
      brief: "Inspect and print the pod manifest",
      description: `Prints the pod manifest as JSON, indented unless --pretty-print=false.\n${POD}`,
      args: "UUID | --uuid-file=FILE",
      flags: sets.catManifestFlags(),
      completes: "pods",
      seeAlso: ["list", "image cat-manifest"],
      load: async () => (await runtime()).catManifest,
    }),
  completion: (name) =>
    command({
      name,
      brief: "Output shell completion code for the specified shell",
      description: `Prints the completion script for a shell; only bash is known.

To use it in the shell at hand: source <(rkt completion bash)`,
      args: "SHELL",
      completes: "shells",
      load: async () => (await runtime()).completion,
    }),
  config: (name) =>
    command({
      name,
      brief: "Print configuration for each stage in JSON format",
      description: `Prints the configuration that results from the system, local and user configuration directories.`,
      flags: sets.configFlags(),
      arity: { min: 0, max: 0 },
      load: async () => (await runtime()).config,
    }),
  enter: (name) =>
    command({
      name,
      brief: "Enter the namespaces of an app within a rkt pod",
      description: `Runs a command inside a running app, with no more privilege than the app has. Without a command it
is /bin/bash. A pod with several apps needs --app.
${POD}`,
      args: "[--app=APPNAME] UUID [CMD [ARGS ...]]",
      flags: sets.enterFlags(),
      arity: { min: 1, max: Number.POSITIVE_INFINITY },
      root: true,
      interspersed: false,
      completes: "pods",
      seeAlso: ["app exec", "list", "run"],
      load: async () => (await runtime()).enter,
    }),
  explain: (name) =>
    command({
      name,
      brief: "Explain what run would do with image(s), and run nothing",
      description: `Prints who verified the images, and what each app would get: user, program, environment, mounts,
capabilities, limits. It takes the flags and arguments of rkt run.
${IMAGE_REFERENCE}
${IMAGE_ARGUMENTS}`,
      args: "IMAGE [-- image-args... [---]]...",
      flags: sets.explainFlags(),
      images: { flags: sets.runImageFlags(), appArguments: true },
      root: true,
      interspersed: false,
      completes: "files",
      seeAlso: ["run", "image list"],
      load: async () => (await runtime()).explain,
    }),
  export: (name) =>
    command({
      name,
      brief: "Export an app from an exited pod to an ACI file",
      description: `Writes what an app left behind as a new image. The file's name ends in .aci.\n${POD}`,
      args: "[--app=APPNAME] UUID OUTPUT_ACI_FILE",
      flags: sets.exportFlags(),
      arity: { min: 2, max: 2 },
      completes: "pods",
      seeAlso: ["image export"],
      load: async () => (await runtime()).exportPod,
    }),
  fetch: (name) =>
    command({
      name,
      brief: "Fetch image(s) and store them in the local store",
      description: `Fetches images with all their dependencies, checks their signatures, and prints the hash of each.
${IMAGE_REFERENCE.replace(", or a hash in the\nlocal store", "")}`,
      args: "IMAGE_URL...",
      flags: sets.fetchFlags(),
      images: { flags: sets.signatureFlag(), appArguments: false },
      interspersed: false,
      completes: "files",
      seeAlso: ["trust", "image list", "run"],
      load: async () => (await runtime()).fetch,
    }),
  gc: (name) =>
    command({
      name,
      brief: "Garbage collect rkt pods no longer in use",
      description: `Moves exited pods to the garbage and deletes those that have been there for the grace period.`,
      flags: sets.gcFlags(),
      arity: { min: 0, max: 0 },
      root: true,
      seeAlso: ["rm", "image gc"],
      load: async () => (await runtime()).gc,
    }),
  help: (name) =>
    command({
      name,
      brief: "Help about any command",
      description: "Prints the usage of a command.",
      args: "[COMMAND]",
      completes: "commands",
      load: async () => ({ run: help }),
    }),
  image: (name) =>
    command({
      name,
      brief: "Operate on image(s) in the local store",
      description: "Operates on images in the local store.",
      args: "[COMMAND]",
      group: true,
    }),
  "image cat-manifest": (name) =>
    command({
      name,
      brief: "Inspect and print the image manifest",
      description: `Prints the manifest of an image as JSON, indented unless --pretty-print=false.\n${STORED_IMAGE}`,
      args: "IMAGE",
      flags: sets.imageCatManifestFlags(),
      arity: { min: 1, max: 1 },
      completes: "images",
      seeAlso: ["image list"],
      load: async () => (await runtime()).imageCatManifest,
    }),
  "image export": (name) =>
    command({
      name,
      brief: "Export a stored image to an ACI file",
      description: `Writes an image as the uncompressed ACI that is in the store.\n${STORED_IMAGE}`,
      args: "IMAGE OUTPUT_ACI_FILE",
      flags: sets.imageExportFlags(),
      arity: { min: 2, max: 2 },
      completes: "images",
      seeAlso: ["image extract", "export"],
      load: async () => (await runtime()).imageExport,
    }),
  "image extract": (name) =>
    command({
      name,
      brief: "Extract a stored image to a directory",
      description: `Unpacks an image without its dependencies.\n${STORED_IMAGE}`,
      args: "IMAGE OUTPUT_DIR",
      flags: sets.imageExtractFlags(),
      arity: { min: 2, max: 2 },
      completes: "images",
      seeAlso: ["image render", "image export"],
      load: async () => (await runtime()).imageExtract,
    }),
  "image fetch": (name) =>
    command({
      name,
      brief: "Fetch image(s) and store them in the local store",
      args: "IMAGE_URL...",
      flags: sets.fetchFlags(),
      images: { flags: sets.signatureFlag(), appArguments: false },
      interspersed: false,
      hidden: true,
      load: async () => (await runtime()).fetch,
    }),
  "image gc": (name) =>
    command({
      name,
      brief: "Garbage collect local store",
      description: `Removes rendered trees that no pod uses, then images that were not used for the grace period.`,
      flags: sets.imageGcFlags(),
      arity: { min: 0, max: 0 },
      seeAlso: ["gc", "image rm"],
      load: async () => (await runtime()).imageGc,
    }),
  "image inspect": (name) =>
    command({
      name,
      brief: "Print what an image is made of and who vouched for it",
      description: `Prints an image's identity, who verified it, the attestations that were checked, and its parts.\n${STORED_IMAGE}`,
      args: "IMAGE",
      flags: sets.imageInspectFlags(),
      arity: { min: 1, max: 1 },
      completes: "images",
      seeAlso: ["image list", "image cat-manifest", "trust"],
      load: () => import("./commands/image-inspect.ts"),
    }),
  "image list": (name) =>
    command({
      name,
      brief: "List images in the local store",
      description: "Lists the images in the local store.",
      flags: sets.imageListFlags(),
      arity: { min: 0, max: 0 },
      seeAlso: ["fetch", "image rm"],
      load: async () => (await runtime()).imageList,
    }),
  "image render": (name) =>
    command({
      name,
      brief: "Render a stored image to a directory with all its dependencies",
      description: `Writes an image and its dependencies as one root file system.\n${STORED_IMAGE}`,
      args: "IMAGE OUTPUT_DIR",
      flags: sets.imageRenderFlags(),
      arity: { min: 2, max: 2 },
      completes: "images",
      seeAlso: ["image extract"],
      load: async () => (await runtime()).imageRender,
    }),
  "image rm": (name) =>
    command({
      name,
      brief: "Remove one or more images with the given IDs or image names from the local store",
      description: `Removes images from the local store.\n${STORED_IMAGE}`,
      args: "IMAGE...",
      completes: "images",
      seeAlso: ["image list", "image gc"],
      load: async () => (await runtime()).imageRm,
    }),
  "image verify": (name) =>
    command({
      name,
      brief: "Verify one or more rendered images in the local store",
      description: `Checks that rendered images are as they were written, and renders those anew that are not.
${STORED_IMAGE}`,
      args: "IMAGE...",
      completes: "images",
      seeAlso: ["image list"],
      load: async () => (await runtime()).imageVerify,
    }),
  list: (name) =>
    command({
      name,
      brief: "List pods",
      description: "Lists the pods that are there, with their apps, states and networks.",
      flags: sets.listFlags(),
      arity: { min: 0, max: 0 },
      seeAlso: ["status", "run", "gc"],
      load: async () => (await runtime()).list,
    }),
  logs: (name) =>
    command({
      name,
      brief: "Print the output of the apps of a pod",
      description: `Prints what the apps wrote to their standard output and standard error.\n${POD}`,
      args: "UUID",
      flags: sets.logsFlags(),
      arity: { min: 1, max: 1 },
      completes: "pods",
      seeAlso: ["run", "status"],
      load: async () => (await runtime()).logs,
    }),
  "metadata-service": (name) =>
    command({
      name,
      brief: "Run metadata service",
      description: `Answers the apps of pods that were started with --mds-register: who they are, their manifests, and
signatures by which other pods can tell them.`,
      flags: sets.metadataServiceFlags(),
      arity: { min: 0, max: 0 },
      root: true,
      seeAlso: ["run", "run-prepared"],
      load: async () => (await runtime()).metadataService,
    }),
  prepare: (name) =>
    command({
      name,
      brief: "Prepare to run image(s) in a pod in rkt",
      description: `Makes a pod ready and prints its UUID; rkt run-prepared starts it.
${IMAGE_REFERENCE}
${IMAGE_ARGUMENTS}`,
      args: "IMAGE [-- image-args... [---]]...",
      flags: sets.prepareFlags(),
      images: { flags: sets.runImageFlags(), appArguments: true },
      root: true,
      interspersed: false,
      completes: "files",
      seeAlso: ["run-prepared", "run"],
      load: async () => (await startRuntime()).prepare,
    }),
  rm: (name) =>
    command({
      name,
      brief: "Remove all files and resources associated with an exited pod",
      description: `Removes pods that do not run. ${POD}`,
      args: "UUID... | --uuid-file=FILE",
      flags: sets.rmFlags(),
      root: true,
      completes: "pods",
      seeAlso: ["stop", "gc"],
      load: async () => (await runtime()).rm,
    }),
  run: (name) =>
    command({
      name,
      brief: "Run image(s) in a pod in rkt",
      description: `Fetches what is missing, makes a pod of one or more apps and runs it. The status is that of the first
app that fails.
${IMAGE_REFERENCE}
${IMAGE_ARGUMENTS}`,
      args: "IMAGE [-- image-args... [---]]...",
      flags: sets.runFlags(),
      images: { flags: sets.runImageFlags(), appArguments: true },
      root: true,
      interspersed: false,
      completes: "files",
      seeAlso: ["fetch", "prepare", "list", "logs", "stop"],
      load: async () => (await startRuntime()).run,
    }),
  "run-prepared": (name) =>
    command({
      name,
      brief: "Run a prepared application pod in rkt",
      description: `Runs a pod that rkt prepare made. ${POD}`,
      args: "UUID",
      flags: sets.runPreparedFlags(),
      arity: { min: 1, max: 1 },
      root: true,
      completes: "pods",
      seeAlso: ["prepare", "run"],
      load: async () => (await startRuntime()).runPrepared,
    }),
  stats: (name) =>
    command({
      name,
      brief: "Show what the apps of running pods use",
      description: `Prints the CPU time, memory, processes and disk traffic of each app of running pods: of those that are named,
or of all.
${POD}`,
      args: "[UUID...]",
      flags: sets.statsFlags(),
      completes: "pods",
      seeAlso: ["status", "list"],
      load: async () => (await runtime()).stats,
    }),
  status: (name) =>
    command({
      name,
      brief: "Check the status of a rkt pod",
      description: `Prints the state of a pod and the exit statuses of its apps, and can wait for them.\n${POD}`,
      args: "UUID | --uuid-file=FILE",
      flags: sets.statusFlags(),
      completes: "pods",
      seeAlso: ["list", "logs"],
      load: async () => (await runtime()).status,
    }),
  stop: (name) =>
    command({
      name,
      brief: "Stop a pod",
      description: `Stops running pods in order; with --force at once. ${POD}`,
      args: "UUID... | --uuid-file=FILE",
      flags: sets.stopFlags(),
      completes: "pods",
      seeAlso: ["rm", "list"],
      load: async () => (await runtime()).stop,
    }),
  tool: (name) =>
    command({
      name,
      brief: "Run a tool that comes with rkt",
      description: "Runs a tool that comes with rkt, by its own words.",
      args: "[TOOL]",
      group: true,
    }),
  "tool docker2aci": (name) =>
    command({
      name,
      brief: "Convert a Docker or OCI image to an ACI file",
      description: `Writes the image as ACI files into the working directory: one of all its layers, or with -nosquash one of each.
The flags stand before IMAGE and have one dash: -compression=gzip|none, -debug, -image=NAME[:TAG] (which image of a
file), -insecure-allow-http, -insecure-skip-verify, -nosquash, -version. IMAGE is a file of docker save, an OCI layout in a
tar archive, or docker://[REGISTRY/]NAME[:TAG|@DIGEST]. The status is 0, 1 when there is no ACI, 2 for wrong words.`,
      args: "[-FLAG...] IMAGE",
      raw: true,
      completes: "files",
      seeAlso: ["fetch", "run"],
      load: async () => ({ run: (await import("./commands/tool-docker2aci.ts")).run }),
    }),
  trust: (name) =>
    command({
      name,
      brief: "Trust a key for image verification",
      description: `Adds keys to the keystore, for the images whose names begin with a prefix or, with --root, for all.
PUBKEY is a local file or a URL; without one the keys are found by discovery at the prefix.
With --type it says what has to vouch for the OCI and Docker images of a prefix, in a trust policy.`,
      args: "[--type=TYPE] [--prefix=PREFIX] [--insecure-allow-http] [--skip-fingerprint-review] [--root] [PUBKEY ...]",
      flags: sets.trustFlags(),
      completes: "files",
      seeAlso: ["fetch"],
      load: () => import("./commands/trust.ts"),
    }),
  version: (name) =>
    command({
      name,
      brief: "Print the version and exit",
      description: "Prints the versions of rkt and of the App Container specification.",
      load: async () => ({ run: version }),
    }),
};

/** Every command, whatever the environment says. */
export function allCommands(): readonly Command[] {
  return Object.entries(DECLARATIONS).map(([name, declare]) => declare(name));
}

/**
 * The commands that exist in this environment: an experiment has to be switched on. One that is not
 * available yet is known in any case, so that it can say so.
 */
export function knownCommands(env: Readonly<Record<string, string | undefined>>): CommandTable {
  const known = ({ experiment, unavailable }: Command): boolean =>
    experiment === undefined || unavailable || parseGoBool(env[experiment] ?? "") === true;
  return {
    byName(name) {
      const declared = own(DECLARATIONS, name)?.(name);
      return declared !== undefined && known(declared) ? declared : undefined;
    },
    all: () => allCommands().filter(known),
  };
}
