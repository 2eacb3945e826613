// SPDX-License-Identifier: Apache-2.0
import { quote, redactUrl } from "../lib/text.ts";
import { FetchError } from "./errors.ts";

/** The pull policy left only the store, and the store does not have it (rkt-cli.md §2.1). */
export function notFound(what: "URL" | "image name" | "docker URL", text: string): FetchError {
  const [image, from] = what === "docker URL" ? ["docker image", "URL"] : ["image", what];
  return new FetchError(
    "IMAGE_NOT_FOUND",
    `unable to fetch ${image} from ${from} ${quote(redactUrl(text))}: either image was not found in the store or store was disabled and fetching from remote yielded nothing or it was disabled`,
    { remedy: "--pull-policy=new to allow fetching it" },
  );
}
