/** A UUID's text as 16 bytes, without anything being allocated: `Buffer.from(hex)` would cost a string and a buffer. */

/** Value of each hexadecimal digit by character code; 255 for what is none. */
const DIGITS = new Uint8Array(128).fill(255);
for (let value = 0; value < 16; value += 1) DIGITS[value.toString(16).charCodeAt(0)] = value;

const DASHES = [8, 13, 18, 23];
/** Where the two digits of each byte begin in `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`. */
const PAIRS = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34);

/**
 * Writes `text` to `bytes` at `at`.
 * @returns false for what is no UUID in lower case, or one that begins with twelve zero bytes; `bytes` may then hold
 *   anything.
 */
export function writeUuid(text: string, bytes: Uint8Array, at: number): boolean {
  if (text.length !== 36) return false;
  for (let i = 0; i < 4; i += 1) if (text.charCodeAt(DASHES[i] as number) !== 45) return false;
  let wrong = 0;
  let head = 0;
  for (let i = 0; i < 16; i += 1) {
    const position = PAIRS[i] as number;
    const high = DIGITS[text.charCodeAt(position)] ?? 255;
    const low = DIGITS[text.charCodeAt(position + 1)] ?? 255;
    wrong |= high | low;
    bytes[at + i] = (high << 4) | low;
    if (i < 12) head |= high | low;
  }
  return wrong < 16 && head !== 0;
}
