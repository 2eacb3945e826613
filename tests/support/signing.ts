// SPDX-License-Identifier: Apache-2.0
// OpenPGP keys and detached signatures for tests.
import * as openpgp from "openpgp";

export interface SigningKey {
  readonly identity: string;
  /** Lower-case hex, 40 characters. */
  readonly fingerprint: string;
  /** Armoured public key. */
  readonly publicKey: string;
  sign(data: Uint8Array, options?: { binary?: boolean; date?: Date }): Promise<Uint8Array>;
  /** The public key, revoked. */
  revoked(): Promise<string>;
}

export interface KeyOptions {
  readonly name?: string;
  /** Seconds from `date` until the key expires. */
  readonly expires?: number;
  readonly date?: Date;
}

/** A new Ed25519 key. */
export async function newKey(options: KeyOptions = {}): Promise<SigningKey> {
  const name = options.name ?? "Test Signer";
  const email = "signer@example.com";
  const { privateKey, revocationCertificate } = await openpgp.generateKey({
    userIDs: [{ name, email }],
    format: "object",
    ...(options.date === undefined ? {} : { date: options.date }),
    ...(options.expires === undefined ? {} : { keyExpirationTime: options.expires }),
  });
  const publicKey = privateKey.toPublic();
  return {
    identity: `${name} <${email}>`,
    fingerprint: privateKey.getFingerprint(),
    publicKey: publicKey.armor(),
    async sign(data, signOptions = {}) {
      const message = await openpgp.createMessage({ binary: data });
      const date = signOptions.date ?? options.date;
      const common = {
        message,
        signingKeys: privateKey,
        detached: true,
        ...(date && { date }),
      } as const;
      if (signOptions.binary) return openpgp.sign({ ...common, format: "binary" });
      return Buffer.from(await openpgp.sign({ ...common, format: "armored" }));
    },
    async revoked() {
      const result = await openpgp.revokeKey({
        key: publicKey,
        revocationCertificate,
        format: "armored",
      });
      return result.publicKey;
    },
  };
}
