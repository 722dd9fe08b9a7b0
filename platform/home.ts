import { join } from 'node:path';

/** Where a home keeps what (`SLIPWAY_HOME`), in one place, because several processes share it. */
export interface HomeLayout {
  readonly blobs: string;
  readonly privateKeyFile: string;
  /** Every `*.pem` in it is a signer that gateways trust. */
  readonly trustedFolder: string;
  /** One folder per training job that is under way. */
  readonly training: string;
  /** One folder per gateway: its last good routes. */
  readonly gateways: string;
  /** One folder per endpoint: the segments of its prediction log. */
  readonly predictions: string;
  /** Bearer tokens of the first start, mode 0600. */
  readonly tokenFile: string;
}

export function homeLayout(home: string): HomeLayout {
  return {
    blobs: join(home, 'blobs'),
    privateKeyFile: join(home, 'keys', 'signing-key.pem'),
    trustedFolder: join(home, 'keys', 'trusted'),
    training: join(home, 'training'),
    gateways: join(home, 'gateways'),
    predictions: join(home, 'predictions'),
    tokenFile: join(home, 'tokens.json'),
  };
}
