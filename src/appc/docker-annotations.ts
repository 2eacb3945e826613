// SPDX-License-Identifier: Apache-2.0
// What the manifest of an image says that was made for Docker: the names that docker2aci gave its annotations, and
// ours for what it left out. docs/devel/docker-images.md describes their values.

/** Of every image that comes from Docker or OCI, as docker2aci writes them. */
export const DOCKER_ANNOTATIONS = {
  originalName: "appc.io/docker/originalname",
  registryURL: "appc.io/docker/registryurl",
  repository: "appc.io/docker/repository",
  tag: "appc.io/docker/tag",
  imageID: "appc.io/docker/imageid",
  parentImageID: "appc.io/docker/parentimageid",
  manifestHash: "appc.io/docker/manifesthash",
  /** JSON array. */
  entrypoint: "appc.io/docker/entrypoint",
  /** JSON array. */
  cmd: "appc.io/docker/cmd",
  /** Ours: the signal that asks the app to end. */
  stopSignal: "appc.io/docker/stopsignal",
  /** Ours: the health check as a liveness command, a JSON object. */
  liveness: "appc.io/docker/liveness",
  /**
   * Ours: USER as the image has it, maybe empty. Only the view of an image that was not converted has it: Docker's own
   * rules hold for its user, its groups and its arguments.
   */
  user: "appc.io/docker/user",
} as const;
