// SPDX-License-Identifier: Apache-2.0
// Docker references: NAME[:TAG][@DIGEST], with Docker's defaults filled in (rkt-cli.md §2).

export interface DockerReference {
  /** The registry's host and port. */
  readonly registry: string;
  readonly repository: string;
  /** Empty when a digest is given. */
  readonly tag: string;
  /** `sha256:…`, or empty. */
  readonly digest: string;
  /** Without the defaults, as a person writes it. */
  readonly friendly: string;
}

const DEFAULT_REGISTRY = "registry-1.docker.io";
const DEFAULT_PREFIX = "library/";
const DEFAULT_TAG = "latest";

/** Undefined when the text is no Docker reference. */
export function parseDockerReference(text: string): DockerReference | undefined {
  if (text.length > 1024) return undefined;
  const match = /^([^@]+?)(?:@(sha256:[0-9a-f]{64}))?$/.exec(text);
  const [, tagged = "", digest = ""] = match ?? [];
  // The last colon starts a tag unless a slash follows it: then it belongs to the registry's port.
  const colon = tagged.lastIndexOf(":");
  const hasTag = colon > tagged.lastIndexOf("/");
  const path = hasTag ? tagged.slice(0, colon) : tagged;
  const tag = hasTag ? tagged.slice(colon + 1) : "";
  const slash = path.indexOf("/");
  const first = slash < 0 ? "" : path.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  const name = isHost ? path.slice(slash + 1) : path;
  if (isHost && !/^[a-z0-9.-]+(?::[0-9]{1,5})?$/i.test(first)) return undefined;
  if (!/^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$/.test(name)) {
    return undefined;
  }
  if (hasTag && !/^\w[\w.-]{0,127}$/.test(tag)) return undefined;
  const isDefault = !isHost || first === DEFAULT_REGISTRY || first === "docker.io";
  const registry = isDefault ? DEFAULT_REGISTRY : first;
  const repository = isDefault && !name.includes("/") ? DEFAULT_PREFIX + name : name;
  return {
    registry,
    repository,
    tag: tag === "" && digest === "" ? DEFAULT_TAG : tag,
    digest,
    friendly: friendlyForm(registry, repository, tag, digest),
  };
}

function friendlyForm(registry: string, repository: string, tag: string, digest: string): string {
  const isDefault = registry === DEFAULT_REGISTRY;
  const short = isDefault && repository.startsWith(DEFAULT_PREFIX);
  const name = short ? repository.slice(DEFAULT_PREFIX.length) : repository;
  const suffix = digest !== "" ? `@${digest}` : tag !== "" && tag !== DEFAULT_TAG ? `:${tag}` : "";
  return `${isDefault ? "" : `${registry}/`}${name}${suffix}`;
}
