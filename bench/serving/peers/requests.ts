/** The same prediction as JSON and with binary tensors, and what an answer says. */
import { ENDPOINT } from '../../../test/serving/control-plane.ts';
import type { Encoding } from './contestants.ts';
import { postBytes } from './load-client.ts';

const PATH = `/v2/models/${ENDPOINT}/infer`;
const HEADER_LENGTH = 'inference-header-content-length';

interface Message {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

function message(row: Float32Array, unit: string, encoding: Encoding): Message {
  const input = { name: 'features', shape: [1, row.length], datatype: 'FP32' };
  if (encoding === 'json') {
    const data = Array.from(row, shortest);
    const text = JSON.stringify({ inputs: [{ ...input, data }], parameters: { unit } });
    return { headers: { 'content-type': 'application/json' }, body: Buffer.from(text) };
  }
  const head = Buffer.from(
    JSON.stringify({
      inputs: [{ ...input, parameters: { binary_data_size: row.byteLength } }],
      parameters: { unit, binary_data_output: true },
    }),
  );
  return {
    headers: { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(head.length) },
    body: Buffer.concat([head, Buffer.from(row.buffer, row.byteOffset, row.byteLength)]),
  };
}

/** What callers print: the fewest digits that give the same float32. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const printed = Number(value.toPrecision(digits));
    if (Math.fround(printed) === value) return printed;
  }
  return value;
}

export function requestBytes(rows: readonly Float32Array[], encoding: Encoding): readonly Buffer[] {
  return rows.map((row, index) => {
    const { headers, body } = message(row, `user-${index}`, encoding);
    return postBytes(PATH, headers, body);
  });
}

/** Asks once and reads the score. @throws when the answer is not 200, with what it said */
export async function probe(port: number, row: Float32Array, encoding: Encoding): Promise<number> {
  const { headers, body } = message(row, 'probe', encoding);
  const init = { method: 'POST', headers: { ...headers, connection: 'close' }, body: new Uint8Array(body) };
  const response = await fetch(`http://127.0.0.1:${port}${PATH}`, init);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`status ${response.status}: ${bytes.toString('utf8').slice(0, 300)}`);
  const headLength = Number(response.headers.get(HEADER_LENGTH) ?? bytes.length);
  const { outputs } = JSON.parse(bytes.toString('utf8', 0, headLength)) as { outputs: readonly Output[] };
  let offset = headLength;
  for (const { name, data, parameters } of outputs) {
    if (name === 'score') return data?.flat()[0] ?? bytes.readFloatLE(offset);
    offset += parameters?.binary_data_size ?? 0;
  }
  throw new Error(`an answer without a score: ${bytes.toString('utf8').slice(0, 300)}`);
}

interface Output {
  readonly name: string;
  readonly data?: readonly number[];
  readonly parameters?: { readonly binary_data_size?: number };
}
