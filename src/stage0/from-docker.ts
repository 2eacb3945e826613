// SPDX-License-Identifier: Apache-2.0
// What an image from Docker asks of a run beside its app: the marks that docker2aci and the view of an OCI image leave
// in a manifest (docs/devel/docker-images.md).
import { type App, DOCKER_ANNOTATIONS, getAnnotation, type ImageManifest } from "../appc/index.ts";
import { parseSignal } from "../lib/signal.ts";

/** docker2aci left its mark on the image (rkt-runtime §7.6, §11): Docker's habits hold for it. */
export function isFromDocker(image: ImageManifest): boolean {
  return getAnnotation(image.annotations, DOCKER_ANNOTATIONS.repository) !== undefined;
}

/**
 * USER of an image that was not converted, where the app still runs as it says; undefined otherwise. Docker's own rules
 * then tell the groups.
 */
export function dockerUser(image: ImageManifest, app: App): string | undefined {
  const { user, group } = image.app ?? {};
  if (app.user !== user || app.group !== group) return undefined;
  return getAnnotation(image.annotations, DOCKER_ANNOTATIONS.user);
}

/** The image was not converted: Docker makes the directory that it, or the command line, names where there is none. */
export function makesWorkingDirectory(image: ImageManifest, app: App): boolean {
  return (
    /^\/[^/]/.test(app.workingDirectory) &&
    getAnnotation(image.annotations, DOCKER_ANNOTATIONS.user) !== undefined
  );
}

/** The signal that the image wants to be stopped by. */
export function stopSignal(image: ImageManifest): number | undefined {
  const text = getAnnotation(image.annotations, DOCKER_ANNOTATIONS.stopSignal);
  return text === undefined ? undefined : parseSignal(text);
}
