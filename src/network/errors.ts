// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type NetworkErrorCode =
  | "NETWORK_LIST"
  | "NETWORK_UNSUPPORTED"
  | "NETWORK_CONFIG"
  | "NETWORK_NOT_FOUND"
  | "CNI_VERSION"
  | "CNI_PLUGIN_MISSING"
  | "CNI_PLUGIN_FAILED"
  | "NETWORK_SETUP"
  | "NETWORK_ADDRESS"
  | "PORT_CONFLICT"
  | "PORT_UNSUPPORTED"
  | "FIREWALL"
  | "DNS_OPTIONS"
  | "HOSTNAME";

export class NetworkError extends RktError<NetworkErrorCode> {}
