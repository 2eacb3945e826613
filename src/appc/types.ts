// SPDX-License-Identifier: Apache-2.0
// The App Container documents as TypeScript sees them after parsing: field names are the JSON keys, a list
// that is absent is empty, an optional object that is absent is undefined. (appc.md sections 1, 3, 4)

import type { Brand } from "../lib/brand.ts";

/** Lower-case alphanumerics and `-._~/`: image, label, annotation and isolator names. */
export type ACIdentifier = Brand<string, "ACIdentifier">;
/** Lower-case alphanumerics and `-`: app, volume, mount-point and port names. */
export type ACName = Brand<string, "ACName">;
/** A semantic version in canonical form. */
export type ACVersion = Brand<string, "ACVersion">;
/** `sha512-VALUE`. VALUE is not checked here: use `imageKey` before it becomes part of a path. */
export type ImageID = Brand<string, "ImageID">;
/** `sha512-` and 64 hexadecimal digits: the store's key, safe as a file name. */
export type ImageKey = Brand<string, "ImageKey">;
/** Lower-case 8-4-4-4-12 form, never all zero: safe as a file name. */
export type PodUUID = Brand<string, "PodUUID">;

export interface Label {
  readonly name: ACIdentifier;
  readonly value: string;
}
export type Labels = readonly Label[];

export interface Annotation {
  readonly name: ACIdentifier;
  readonly value: string;
}
export type Annotations = readonly Annotation[];

export interface EnvironmentVariable {
  readonly name: string;
  readonly value: string;
}

export interface EventHandler {
  readonly name: "pre-start" | "post-stop";
  readonly exec: readonly string[];
}

export interface MountPoint {
  readonly name: ACName;
  /** The specification does not enforce it in JSON: may be empty or relative. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** The ports `port` … `port + count - 1` inside the pod. */
export interface Port {
  readonly name: ACName;
  readonly protocol: string;
  readonly port: number;
  readonly count: number;
  readonly socketActivated: boolean;
}

/** `value` is any JSON; `parseIsolator` gives the typed form of a known one. */
export interface Isolator {
  readonly name: ACIdentifier;
  readonly value: unknown;
}
export type Isolators = readonly Isolator[];

export type StringMap = Readonly<Record<string, string>>;

export interface App {
  readonly exec: readonly string[];
  readonly eventHandlers: readonly EventHandler[];
  readonly user: string;
  readonly group: string;
  readonly supplementaryGIDs: readonly number[];
  /** Empty (meaning `/`) or absolute. */
  readonly workingDirectory: string;
  readonly environment: readonly EnvironmentVariable[];
  readonly mountPoints: readonly MountPoint[];
  readonly ports: readonly Port[];
  readonly isolators: Isolators;
  readonly userAnnotations: StringMap;
  readonly userLabels: StringMap;
}

export interface Dependency {
  readonly imageName: ACIdentifier;
  readonly imageID?: ImageID | undefined;
  readonly labels: Labels;
  /** Size in bytes of the image as it is downloaded; 0 when not stated. */
  readonly size: number;
}

export interface ImageManifest {
  readonly acKind: "ImageManifest";
  readonly acVersion: ACVersion;
  readonly name: ACIdentifier;
  readonly labels: Labels;
  readonly app?: App | undefined;
  readonly annotations: Annotations;
  readonly dependencies: readonly Dependency[];
  readonly pathWhitelist: readonly string[];
}

export interface EmptyVolume {
  readonly kind: "empty";
  readonly name: ACName;
  readonly readOnly?: boolean | undefined;
  readonly recursive?: boolean | undefined;
  /** Octal digits; "0755" unless stated. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
}
export interface HostVolume {
  readonly kind: "host";
  readonly name: ACName;
  /** Absolute path on the host. */
  readonly source: string;
  readonly readOnly?: boolean | undefined;
  /** Undefined: the executor decides (recursive, except for the fly flavor). */
  readonly recursive?: boolean | undefined;
}
export type Volume = EmptyVolume | HostVolume;

export interface Mount {
  readonly volume: ACName;
  readonly path: string;
  /** Overrides the pod's volume of this name. */
  readonly appVolume?: Volume | undefined;
}

export interface ExposedPort {
  readonly name: ACName;
  readonly hostPort: number;
  /** Undefined: all addresses of the host. */
  readonly hostIP?: string | undefined;
  /** Undefined: the port of this name of one of the apps. */
  readonly podPort?: Port | undefined;
}

/** The image of an app in a pod. Only a template has no `id`. */
export interface ImageReference {
  readonly name?: ACIdentifier | undefined;
  readonly id?: ImageID | undefined;
  readonly labels: Labels;
}

export interface RuntimeApp {
  readonly name: ACName;
  readonly image: ImageReference;
  /** Replaces the image's app. */
  readonly app?: App | undefined;
  readonly readOnlyRootFS: boolean;
  readonly mounts: readonly Mount[];
  readonly annotations: Annotations;
}

export interface PodManifest {
  readonly acVersion: ACVersion;
  readonly acKind: "PodManifest";
  readonly apps: readonly RuntimeApp[];
  readonly volumes: readonly Volume[];
  readonly isolators: Isolators;
  readonly annotations: Annotations;
  readonly ports: readonly ExposedPort[];
  readonly userAnnotations: StringMap;
  readonly userLabels: StringMap;
}
