// SPDX-License-Identifier: Apache-2.0
// An answer that is no success, as an error.
import { quote, redactUrl } from "../lib/text.ts";
import { FetchError } from "./errors.ts";

export function statusError(what: string, url: string, status: number): FetchError {
  return new FetchError(
    "HTTP_STATUS",
    `error downloading the ${what} from ${quote(redactUrl(url))}: bad HTTP status code: ${status}`,
    {
      details: { status, url: redactUrl(url) },
      ...(status === 401 || status === 403
        ? { remedy: "put credentials for this host into a file in auth.d, see: rkt config" }
        : {}),
    },
  );
}
