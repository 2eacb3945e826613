// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type ConfigErrorCode = "CONFIG_UNREADABLE" | "CONFIG_UNWRITABLE" | "CONFIG_INVALID";

/** A configuration file or directory that cannot be used. Never holds a credential. */
export class ConfigError extends RktError<ConfigErrorCode> {}
