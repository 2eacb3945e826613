// SPDX-License-Identifier: Apache-2.0
// Docker references: NAME[:TAG][@DIGEST], with Docker's defaults filled in (rkt-cli.md §2). The digest decides
// where both are given; the tag is then a name for people.

export interface DockerReference {
  /** The registry's host and port, lower case; an IPv6 address in brackets. */
  readonly registry: string;
  readonly repository: string;
  /** Empty when only a digest is given. */
  readonly tag: string;
  /** `sha256:…` or `sha512:…`, or empty. */
  readonly digest: string;
  /** Without the defaults, as a person writes it. */
  readonly friendly: string;
}

const DEFAULT_REGISTRY = "registry-1.docker.io";
/** What Docker Hub is called. */
export const HUB_NAMES: readonly string[] = [DEFAULT_REGISTRY, "docker.io", "index.docker.io"];
const DEFAULT_PREFIX = "library/";
const DEFAULT_TAG = "latest";

/** Undefined when the text is no Docker reference. */
export function parseDockerReference(text: string): DockerReference | undefined {
  if (text.length > 1024) return undefined;
  const match = /^([^@]+?)(?:@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?$/.exec(text);
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
  if (isHost && !isHostAndPort(first)) return undefined;
  if (!/^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$/.test(name)) {
    return undefined;
  }
  if (hasTag && !/^\w[\w.-]{0,127}$/.test(tag)) return undefined;
  const isDefault = !isHost || HUB_NAMES.includes(first);
  const registry = isDefault ? DEFAULT_REGISTRY : first.toLowerCase();
  const repository = isDefault && !name.includes("/") ? DEFAULT_PREFIX + name : name;
  return {
    registry,
    repository,
    tag: tag === "" && digest === "" ? DEFAULT_TAG : tag,
    digest,
    friendly: friendlyForm(registry, repository, tag, digest),
  };
}

function isHostAndPort(text: string): boolean {
  const match = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/i.exec(text);
  if (match === null || URL.parse(`https://${text}/`) === null) return false;
  const port = match[1];
  return port === undefined || (Number(port) > 0 && Number(port) < 65536);
}

function friendlyForm(registry: string, repository: string, tag: string, digest: string): string {
  const isDefault = registry === DEFAULT_REGISTRY;
  const short = isDefault && repository.startsWith(DEFAULT_PREFIX);
  const name = short ? repository.slice(DEFAULT_PREFIX.length) : repository;
  const suffix = digest !== "" ? `@${digest}` : tag !== "" && tag !== DEFAULT_TAG ? `:${tag}` : "";
  return `${isDefault ? "" : `${registry}/`}${name}${suffix}`;
}
