// SPDX-License-Identifier: Apache-2.0
// Who we are. The build replaces ROCKET_VERSION and ROCKET_COMMIT with text (`bun build --define`).

declare const ROCKET_VERSION: string | undefined;
declare const ROCKET_COMMIT: string | undefined;

/** rkt's own version; also the acVersion of the pod manifests that rkt generates. */
export const VERSION: string = typeof ROCKET_VERSION === "string" ? ROCKET_VERSION : "2.0.0";

/** The version of the App Container specification that this implementation follows, and writes. */
export const SPECIFICATION = "0.8.11";

/** The commit that this executable was built from, "" when it was not built. */
export const COMMIT: string = typeof ROCKET_COMMIT === "string" ? ROCKET_COMMIT : "";
