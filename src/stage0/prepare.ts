// SPDX-License-Identifier: Apache-2.0
// From images to a pod directory that only has to be started (rkt-cli §5.1, rkt-runtime §5). Everything
// that can fail because of the user's words or an image fails before the pod is made; what fails later
// removes the pod again.
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  type App,
  type ImageKey,
  type ImageManifest,
  imageKey,
  ManifestError,
  type PodManifest,
  parsePodManifest,
  serializePodManifest,
} from "../appc/index.ts";
import { type FetchContext, findImage, type LocalContext } from "../fetch/index.ts";
import { isErrno, RktError } from "../lib/errors.ts";
import type { IdRange } from "../lib/id-range.ts";
import { silentReporter } from "../lib/reporter.ts";
import { quote } from "../lib/text.ts";
import {
  createPod,
  ensurePodDirectories,
  findPod,
  type LockedPod,
  markGarbage,
  moveToPrepared,
} from "../pod/directory.ts";
import { PodError } from "../pod/errors.ts";
import {
  type AppOverrides,
  type AppSource,
  generatePodManifest,
  type PodOptions,
} from "../pod/generate-manifest.ts";
import { POD_FILES } from "../pod/read.ts";
import { BUILTIN_STAGE1_MANIFEST } from "../stage1/manifest.ts";
import { deletePod } from "./delete-pod.ts";
import { Stage0Error } from "./errors.ts";
import { isFromDocker } from "./from-docker.ts";
import { idOnHost } from "./id-on-host.ts";
import { leaveMetadataService } from "./metadata-service.ts";
import { tryLeaveNetworks } from "./networks.ts";
import { renderOrForget } from "./render-image.ts";

export interface AppRequest {
  /** As on the command line: hash, name, URL or path. */
  readonly image: string;
  /** A local file with the detached signature. */
  readonly signature?: string | undefined;
  readonly overrides: AppOverrides;
}

export type PodSource =
  | { readonly kind: "images"; readonly apps: readonly AppRequest[]; readonly options: PodOptions }
  /** --pod-manifest: stored byte for byte; its images must be in the store. */
  | { readonly kind: "manifest"; readonly file: string };

export interface PrepareRequest {
  readonly source: PodSource;
  readonly overlay: boolean;
  /** --private-users: the pod gets ids of its own. */
  readonly privateUsers: boolean;
  /** Called with the UUID as soon as there is one, before anything is prepared. */
  readonly onCreated?: (uuid: string) => void;
}

export interface PrepareContext {
  readonly dataDir: string;
  readonly local: LocalContext;
  /** Called only when an image is not in the store. */
  readonly fetch: () => Promise<FetchContext>;
}

/** One app of the pod with its image and the app section that counts. */
export interface PreparedApp {
  readonly name: string;
  readonly key: ImageKey;
  readonly image: ImageManifest;
  readonly app: App;
}

export interface PreparedPod {
  readonly pod: LockedPod;
  readonly manifest: PodManifest;
  readonly apps: readonly PreparedApp[];
  readonly userNamespace: IdRange | undefined;
}

/** Fetches what is missing and makes the pod, `preparing`, with its lock held. */
export async function preparePod(
  request: PrepareRequest,
  context: PrepareContext,
): Promise<PreparedPod> {
  const since = new Date();
  const { manifest, bytes, apps } = await resolveSource(request.source, context);
  // From here on nothing that the pod needs can be collected; what was collected meanwhile is missed below.
  using _lock = context.local.store.lockPrepare("shared");
  for (const { key } of apps) requireVerified(key, context.local);
  for (const { key } of apps) context.local.store.markUsed(key);
  ensurePodDirectories(context.dataDir);
  const pod = createPod(context.dataDir);
  try {
    request.onCreated?.(pod.uuid);
    const userNamespace = request.privateUsers ? await reserveIds(context.dataDir, pod) : undefined;
    await writePod(pod, { request, context, since, manifest, bytes, apps, userNamespace });
    if (apps.some(({ image, app }) => app.mountPoints.length > 0 && isFromDocker(image))) {
      const { fillVolumes } = await import("./fill-volumes.ts");
      await fillVolumes({ path: pod.path, manifest, apps, userNamespace }, context.dataDir);
    }
    return { pod, manifest, apps, userNamespace };
  } catch (error) {
    await discard(context.dataDir, pod);
    throw error;
  }
}

async function reserveIds(dataDir: string, pod: LockedPod): Promise<IdRange> {
  const { reserveRange } = await import("../pod/id-range.ts");
  return reserveRange(dataDir, pod);
}

/** The pod becomes `prepared`, or is removed again. */
export async function keepPrepared(dataDir: string, pod: LockedPod): Promise<void> {
  try {
    moveToPrepared(dataDir, pod);
  } catch (error) {
    await discard(dataDir, pod);
    throw error;
  }
}

/** Removes a pod that could not be prepared or started, wherever it is by now: nothing is left behind. */
export async function discard(dataDir: string, pod: LockedPod): Promise<void> {
  pod[Symbol.dispose]();
  const found = findPod(dataDir, pod.uuid);
  const marked = found === undefined ? undefined : markGarbage(dataDir, found);
  if (marked === undefined) return;
  await leaveMetadataService(marked, silentReporter);
  if (await tryLeaveNetworks(marked)) deletePod(marked);
}

/**
 * Nothing that nobody verified runs without the flag: not an image that was fetched with the flag and is in
 * the store since then, and not one of whose dependencies that is true.
 */
function requireVerified(key: ImageKey, { store, insecure }: LocalContext): void {
  if (insecure.image) return;
  for (const part of store.flatten(key)) {
    if (store.verification(part).kind !== "unverified") continue;
    const { name } = store.manifest(part);
    throw new Stage0Error(
      "IMAGE_UNVERIFIED",
      `cannot use image ${quote(name)}: it was fetched with --insecure-options=image and nobody verified it`,
      {
        details: { image: part },
        remedy: `rkt fetch ${name} with its signature, or --insecure-options=image to run it all the same`,
      },
    );
  }
}

interface ResolvedSource {
  readonly manifest: PodManifest;
  readonly bytes: Uint8Array | string;
  readonly apps: readonly PreparedApp[];
}

async function resolveSource(source: PodSource, context: PrepareContext): Promise<ResolvedSource> {
  if (source.kind === "manifest") return resolveManifest(source.file, context);
  const sources: AppSource[] = [];
  for (const [i, { image, signature, overrides }] of source.apps.entries()) {
    const key = await findImage(image, context.local, context.fetch, { signature }).catch(
      (error: unknown) => {
        throw explainWord(error, image, i);
      },
    );
    sources.push({ overrides, key, manifest: context.local.store.manifest(key) });
  }
  const manifest = generatePodManifest(sources, source.options);
  const apps = manifest.apps.map((app, i) => {
    const image = sources[i];
    if (image === undefined || app.app === undefined) throw new Error("an app without an image");
    return { name: app.name, key: image.key, image: image.manifest, app: app.app };
  });
  return { manifest, bytes: serialize(manifest), apps };
}

/** The manifest is ours, made of flags: advice to correct it would be for a file that nobody wrote. */
function serialize(manifest: PodManifest): Uint8Array | string {
  try {
    return serializePodManifest(manifest);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const { details } = error;
    throw new PodError("POD_MANIFEST", `cannot make a pod of these flags: ${error.message}`, {
      details,
    });
  }
}

/** `rkt run IMAGE ls`: the words of the app stand behind `--`, else they are images. */
function explainWord(error: unknown, image: string, i: number): unknown {
  if (i === 0 || !/^[\w-]+$/.test(image) || !(error instanceof RktError)) return error;
  return new Stage0Error("IMAGE_WORD", `cannot use ${quote(image)} as an image`, {
    cause: error,
    remedy: `-- ${image}, if it is an argument for the app of the image before it`,
  });
}

const MAX_POD_MANIFEST = 16 * 1024 * 1024;

function readManifestFile(file: string): { bytes: Uint8Array; manifest: PodManifest } {
  try {
    if (statSync(file).size > MAX_POD_MANIFEST) throw new Error("it is too large");
    const bytes = readFileSync(file);
    return { bytes, manifest: parsePodManifest(bytes) };
  } catch (cause) {
    throw new PodError("POD_MANIFEST", `cannot use the pod manifest ${quote(file)}`, { cause });
  }
}

function resolveManifest(file: string, { local }: PrepareContext): ResolvedSource {
  const { bytes, manifest } = readManifestFile(file);
  if (manifest.apps.length === 0) {
    throw new PodError("POD_MANIFEST", "pod must contain at least one application");
  }
  const apps = manifest.apps.map(({ name, image, app }) => {
    if (image.id === undefined) {
      throw new PodError("POD_MANIFEST", `no image ID for app "${name}"`);
    }
    const key = local.store.resolveKey(imageKey(image.id));
    const stored = local.store.manifest(key);
    const effective = app ?? stored.app;
    if (effective === undefined) {
      throw new PodError(
        "POD_MANIFEST",
        `no app section in the pod manifest or the image manifest for app "${name}"`,
      );
    }
    return { name, key, image: stored, app: effective };
  });
  return { manifest, bytes, apps };
}

/**
 * The folders of a pod, parents first. stage1 would make the last ones, but for root alone: the group rkt reads
 * statuses and logs.
 */
const POD_FOLDERS = [
  "stage1",
  "stage1/rootfs",
  "stage1/rootfs/opt",
  POD_FILES.stage2,
  POD_FILES.stage1Etc,
  POD_FILES.appsInfo,
  "stage1/rootfs/rkt",
  POD_FILES.status,
  POD_FILES.pids,
  POD_FILES.logs,
] as const;

async function writePod(
  pod: LockedPod,
  {
    request,
    context,
    since,
    bytes,
    apps,
    userNamespace,
  }: ResolvedSource & {
    readonly request: PrepareRequest;
    readonly context: PrepareContext;
    /** When the images began to come. */
    readonly since: Date;
    readonly userNamespace: IdRange | undefined;
  },
): Promise<void> {
  const { store } = context.local;
  const firstId = userNamespace?.first ?? 0;
  const at = (...names: string[]) => join(pod.path, ...names);
  for (const folder of POD_FOLDERS) mkdirSync(at(folder), { mode: 0o750 });
  writeFileSync(at(POD_FILES.stage1Manifest), BUILTIN_STAGE1_MANIFEST, { mode: 0o640 });
  symlinkSync("native", at("flavor"));
  for (const app of apps) {
    const info = at(POD_FILES.appsInfo, app.name);
    const stage2 = at(POD_FILES.stage2, app.name);
    mkdirSync(info, { mode: 0o750 });
    mkdirSync(stage2, { mode: 0o750 });
    writeFileSync(join(info, "manifest"), store.manifestText(app.key), { mode: 0o640 });
    linkSync(join(info, "manifest"), join(stage2, "manifest"));
    if (request.overlay) {
      const tree = await renderOrForget({ store, key: app.key, since }, () =>
        store.renderTree(app.key),
      );
      writeFileSync(join(info, "treeStoreID"), tree.id, { mode: 0o640 });
      makeOverlay(at("overlay"), tree, app.name, firstId);
      mkdirSync(join(stage2, "rootfs"), { mode: 0o750 });
    } else {
      // A copy is written anyway: with the pod's owners it needs no idmapped mount, as in rkt.
      const shift = { uidShift: firstId, gidShift: firstId };
      await renderOrForget({ store, key: app.key, since }, () =>
        store.renderInto(app.key, stage2, shift),
      );
    }
  }
  writeFileSync(at(POD_FILES.lock), "", { mode: 0o600 });
  writeFileSync(at(POD_FILES.manifest), bytes, { mode: 0o640 });
  writeFileSync(at(POD_FILES.created), "", { mode: 0o640 });
  if (request.overlay) writeFileSync(at(POD_FILES.overlayPrepared), "", { mode: 0o640 });
}

/** overlay/TREE/{upper,work}/APP: the writable layer; its root looks like the image's. */
function makeOverlay(
  overlay: string,
  tree: { readonly id: string; readonly rootfs: string },
  app: string,
  firstId: number,
): void {
  const upper = join(overlay, tree.id, "upper");
  const work = join(overlay, tree.id, "work");
  // Made already when two apps are of the same tree.
  for (const folder of [overlay, join(overlay, tree.id), upper, work]) ensureDirectory(folder);
  mkdirSync(join(work, app), { mode: 0o750 });
  const root = lstatSync(tree.rootfs);
  const top = join(upper, app);
  mkdirSync(top, { mode: 0o750 });
  // Explicit, because of the setgid bit and group of the pods folder, and because of the umask.
  const what = `the root of app ${quote(app)}`;
  chownSync(top, idOnHost(root.uid, firstId, what), idOnHost(root.gid, firstId, what));
  chmodSync(top, root.mode & 0o7777);
}

function ensureDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o750 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}
