// SPDX-License-Identifier: Apache-2.0
// The failures of getting an image or a key from somewhere.
import { RktError } from "../lib/errors.ts";

export type FetchErrorCode =
  /** The image argument is none of hash, path, URL, name and Docker reference. */
  | "REFERENCE_INVALID"
  /** The pull policy forbids the network and the store does not have the image. */
  | "IMAGE_NOT_FOUND"
  /** An OCI image that nobody may vouch for here. */
  | "IMAGE_UNVERIFIED"
  /** An artifact, another platform, layers of an unknown kind. */
  | "IMAGE_UNSUPPORTED"
  /** A manifest or blob is not what its digest says. */
  | "DIGEST_MISMATCH"
  /** A local image, signature or key cannot be read. */
  | "FILE_UNREADABLE"
  /** No connection, no name, or it broke before the answer began. */
  | "CONNECTION_FAILED"
  /** The server's certificate is not accepted. */
  | "TLS_FAILED"
  | "TIMEOUT"
  | "PROXY_INVALID"
  | "HTTP_STATUS"
  /** The answer contradicts the request (a wrong range, a 304 that nobody asked for). */
  | "HTTP_INVALID"
  | "TOO_MANY_REDIRECTS"
  | "REDIRECT_REFUSED"
  /** The body ended before its announced end. */
  | "BODY_SHORT"
  | "TOO_LARGE"
  | "DISK_FULL"
  /** The server asked twice to come back later for the signature. */
  | "DEFERRED_TWICE"
  | "DISCOVERY_FAILED"
  /** The manifest has another name or other labels than were asked for. */
  | "MANIFEST_MISMATCH"
  | "DEPENDENCY_CYCLE"
  | "DEPENDENCY_LIMIT"
  /** A dependency pins an image ID, and another image came. */
  | "DEPENDENCY_MISMATCH"
  /** The registry wants other credentials, or none of ours may have the image. */
  | "REGISTRY_DENIED"
  | "REGISTRY_NOT_FOUND"
  | "REGISTRY_RATE_LIMIT"
  /** registries.conf forbids the registry. */
  | "REGISTRY_BLOCKED"
  /** What a registry or its token server says makes no sense, or is not what was asked for. */
  | "REGISTRY_INVALID"
  /** A file with credentials, or the helper that has them, cannot be used. */
  | "CREDENTIALS_UNUSABLE"
  | "REGISTRIES_CONF_INVALID"
  | "KEY_LOCATION"
  /** A key must be reviewed and nobody is there to ask. */
  | "REVIEW_IMPOSSIBLE";

export class FetchError extends RktError<FetchErrorCode> {}
