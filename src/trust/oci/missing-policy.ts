// SPDX-License-Identifier: Apache-2.0
// The refusal of an OCI image that no policy speaks of; apart from the rest, because it is said before anything is loaded.
import { quote } from "../../lib/text.ts";
import { LOCAL_NAME } from "../../oci/trust-policy.ts";
import { TrustError } from "../errors.ts";

export function missingPolicy(name: string): TrustError {
  return new TrustError("POLICY_MISSING", `no trust policy says who may sign ${quote(name)}`, {
    remedy:
      name === LOCAL_NAME
        ? "rkt trust --type=none --prefix=local, or --insecure-options=image for this once"
        : `rkt trust --type=sigstore-key --prefix=${quote(name)} KEY.pub, or another --type`,
    details: { name },
  });
}
