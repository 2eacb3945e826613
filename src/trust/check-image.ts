// SPDX-License-Identifier: Apache-2.0
import type { RawImage } from "./raw-image.ts";

export interface ImageCheck {
  readonly raw: RawImage;
  readonly prefix: string;
}
export async function checkImage(_check: ImageCheck): Promise<{ fingerprint: string; identities: string[] }> {
  throw new Error("not yet");
}
