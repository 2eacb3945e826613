// SPDX-License-Identifier: Apache-2.0
// Ports: rules shared by the JSON and the command-line form. (appc.md sections 3.2 and 4.5)

import { quote } from "../lib/text.ts";
import { ManifestError } from "./errors.ts";
import type { Port } from "./types.ts";

/** Completes a missing count to 1 and refuses what is not a range within 1-65535. */
export function checkPort(port: Port): Port {
  if (port.port < 1 || port.port > 65535) throw invalid("port must be in 1-65535 range");
  if (port.port + port.count > 65536) {
    throw invalid("end of port range must be in 1-65535 range");
  }
  return port.count === 0 ? { ...port, count: 1 } : port;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/;

/** IPv4 as it is, IPv6 in its shortest form; undefined when it is neither. */
export function normalizeIP(text: string): string | undefined {
  if (IPV4.test(text)) return text;
  // The URL parser knows IPv6, and nothing else between brackets.
  const url = /^[0-9A-Fa-f:.]{2,45}$/.test(text) ? `http://[${text}]` : "";
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined;
}

export function parseIP(text: string): string {
  const ip = normalizeIP(text);
  if (ip === undefined) throw invalid(`invalid IP address: ${quote(text)}`);
  return ip;
}

function invalid(message: string): ManifestError {
  return new ManifestError("MANIFEST_INVALID", message);
}
