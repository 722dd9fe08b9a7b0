import pg from 'pg';

/** Resolves at the next notification on a channel. */
export async function listenOnce(databaseUrl: string, channel: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const heard = new Promise<void>((resolve) => client.once('notification', () => resolve()));
    await client.query(`LISTEN ${channel}`);
    await heard;
  } finally {
    await client.end();
  }
}
