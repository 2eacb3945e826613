// SPDX-License-Identifier: Apache-2.0
// What the other folders may use of config.
export { type AuthOptions, authHeaders } from "./auth-headers.ts";
export { ConfigError, type ConfigErrorCode } from "./errors.ts";
export { type ConfigDirs, loadConfig } from "./load-config.ts";
export { toJson } from "./to-json.ts";
export type { Auth, BasicCredentials, Config, Paths, Stage1Default } from "./types.ts";
