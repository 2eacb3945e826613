// SPDX-License-Identifier: Apache-2.0
import type { ImageManifest } from "../appc/index.ts";

/** docker2aci left its mark on the image (rkt-runtime §7.6, §11): Docker's habits hold for it. */
export function isFromDocker(image: ImageManifest): boolean {
  return image.annotations.some(({ name }) => name === "appc.io/docker/repository");
}
