// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type NetworkErrorCode = "NETWORK_LIST" | "NETWORK_UNSUPPORTED" | "DNS_OPTIONS" | "HOSTNAME";

export class NetworkError extends RktError<NetworkErrorCode> {}
